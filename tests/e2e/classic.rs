//! The classic profile by commands: mission A1 to A10 with the strict form of each rule, and what only the profile has.

use std::fs;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chat_tests::process::{command, kill_child, signal, until, within};
use chat_tests::server::free_port;
use chat_tests::{Home, Output, World, needs};
use rustix::process::Signal;
use serde_json::Value;

fn presence(user: &str, state: &str) -> impl Fn(&Value) -> bool {
    move |event| event["type"] == "presence" && event["user"] == user && event["state"] == state
}

/// `chatctl login NAME` from a home, by the password in this file.
fn enter(world: &World, home: &Home, name: &str, file: &str, more: &[&str]) -> Output {
    let server = world.server.address().to_string();
    let mut args = vec!["login", name, "--server", &server, "--trust", world.server.fingerprint(), "--no-input"];
    args.extend_from_slice(&["--password-file", file]);
    args.extend_from_slice(more);
    home.run(&args)
}

/// Somebody new, signed up by `login` as the exercise does.
#[track_caller]
fn user(world: &mut World, name: &str, home: &str) -> Arc<Home> {
    let home = world.home(name, home);
    enter(world, &home, name, &world.password_file(), &["--yes"]).ok();
    home
}

fn credentials(world: &World) -> String {
    fs::read_to_string(world.server.dir().join("credentials.txt")).expect("the credentials file")
}

#[test]
fn a1_login_signs_up_after_asking_and_every_login_asks_for_the_password() {
    let mut world = World::classic(&[]);
    let home = world.home("Yoda!", "h");
    let file = world.password_file();
    enter(&world, &home, "Yoda!", &file, &[]).exits(12).says("--yes");
    assert_eq!(credentials(&world), "", "nothing was made");
    enter(&world, &home, "Yoda!", &file, &["--yes"]).ok().says("Registered Yoda!");
    assert_eq!(home.link(), "online");
    assert_eq!(credentials(&world), format!("Yoda! {}\n", chat_tests::world::PASSWORD));
    for _ in 0..2 {
        home.run(&["logout"]).ok();
        home.run(&["login", "--no-input"]).exits(12).says("password");
        home.run(&["login", "--no-input", "--password-file", &file]).ok().says("Logged in as Yoda!");
    }
    // A name that differs by case alone is somebody else.
    let other = world.home("yoda!", "o");
    enter(&world, &other, "yoda!", &file, &[]).exits(12);
    enter(&world, &other, "two words", &file, &["--yes", "--json"]).fails_with("bad_name", 15);
}

#[test]
fn by_default_an_unknown_name_is_a_wrong_password() {
    let mut world = World::start();
    let home = world.home("yoda", "h");
    let file = world.password_file();
    enter(&world, &home, "yoda", &file, &["--yes", "--json"]).fails_with("wrong_credentials", 7);
}

#[test]
fn a_name_is_told_of_before_a_password_is_asked_for() {
    let mut world = World::classic(&[]);
    let _yoda = user(&mut world, "yoda", "y");
    let home = world.home("yoda", "h");
    let server = world.server.address().to_string();
    let login = |name: &str| {
        home.json(&["login", name, "--server", &server, "--trust", world.server.fingerprint(), "--no-input"])
    };
    login("yoda").fails_with("already_logged_in", 7);
    login("luke").exits(12).says("--yes");
}

#[test]
fn a2_three_wrong_passwords_lock_the_name_everywhere_and_for_the_same_time() {
    let mut world = World::classic(&[("auth", "lockout_duration", "\"10s\"")]);
    let wrong = world.file("wrong", b"not this\n");
    let right = world.password_file();
    let yoda = user(&mut world, "yoda", "y");
    let luke = user(&mut world, "luke", "l");
    yoda.run(&["logout"]).ok();
    let (second, third) = (world.home("yoda", "2"), world.home("yoda", "3"));
    for _ in 0..2 {
        for home in [&second, &third] {
            enter(&world, home, "yoda", &wrong, &["--json"]).fails_with("wrong_credentials", 7);
        }
        // The third and the fourth are one too many, from wherever they come.
        let began = Instant::now();
        let locked = enter(&world, &second, "yoda", &wrong, &["--json"]).fails_with("locked_out", 13);
        let wait = locked.error()["retry_after_ms"].as_u64().expect("how long");
        assert!((1..=10_000).contains(&wait), "always the same time: {wait}");
        enter(&world, &third, "yoda", &right, &["--json"]).fails_with("locked_out", 13);
        yoda.json(&["login", "--no-input", "--password-file", &right]).fails_with("locked_out", 13);
        let entered = within(Duration::from_secs(60), || {
            let done = yoda.run(&["login", "--no-input", "--password-file", &right]);
            (done.code == 0).then_some(())
        });
        assert!(entered.is_some() && began.elapsed() >= Duration::from_secs(9), "{:?}", began.elapsed());
        yoda.run(&["logout"]).ok();
    }
    // Others are not disturbed.
    assert_eq!(luke.link(), "online");
}

#[test]
fn a_lock_holds_for_enrolled_devices_and_they_come_back_after_it() {
    let mut world = World::classic(&[("auth", "lockout_duration", "\"15s\""), ("sessions", "grace", "\"1s\"")]);
    let wrong = world.file("wrong", b"not this\n");
    let yoda = user(&mut world, "yoda", "y");
    let guesser = world.home("yoda", "g");
    yoda.kill();
    for code in [7, 7, 13] {
        enter(&world, &guesser, "yoda", &wrong, &[]).exits(code);
    }
    yoda.up();
    until("the device is told of the lock", || {
        (yoda.json(&["status"]).json()["problems"].to_string().contains("locked_out")
            || yoda.run(&["status"]).stderr.contains("too many wrong passwords"))
        .then_some(())
    });
    yoda.online();
}

#[test]
fn a3_a_name_that_is_active_elsewhere_is_refused_and_its_session_untouched() {
    let mut world = World::classic(&[]);
    let yoda = user(&mut world, "yoda", "y");
    let luke = user(&mut world, "luke", "l");
    let mut lukes = luke.watch(&[]);
    let second = world.home("yoda", "2");
    let file = world.password_file();
    enter(&world, &second, "yoda", &file, &["--json"]).fails_with("already_logged_in", 7);
    yoda.sends("luke", "still here");
    lukes.expect("the message", |event| event["text"] == "still here");
    assert!(lukes.comings_and_goings().is_empty(), "{:?}", lukes.seen());
    // Another name may be given; and the first one again once it is free.
    enter(&world, &second, "han", &file, &["--yes"]).ok();
    second.run(&["logout", "--wipe", "--yes"]).ok();
    yoda.run(&["logout"]).ok();
    enter(&world, &second, "yoda", &file, &[]).ok();
    assert_eq!(second.link(), "online");
}

#[test]
fn of_two_logins_at_once_exactly_one_wins() {
    let mut world = World::classic(&[]);
    let (one, two) = (user(&mut world, "yoda", "1"), world.home("yoda", "2"));
    let file = world.password_file();
    one.run(&["logout"]).ok();
    for race in 0..20 {
        let world = &world;
        let try_in = |home: &Home| enter(world, home, "yoda", &file, &[]).code;
        let (a, b) = std::thread::scope(|scope| {
            let first = scope.spawn(|| try_in(&one));
            let second = try_in(&two);
            (first.join().expect("the first client"), second)
        });
        assert!([(0, 7), (7, 0)].contains(&(a, b)), "race {race}: {a} and {b}");
        let (winner, loser) = if a == 0 { (&one, &two) } else { (&two, &one) };
        assert_eq!(winner.link(), "online", "race {race}");
        assert_ne!(loser.link(), "online", "race {race}");
        winner.run(&["logout"]).ok();
    }
}

#[test]
fn a_half_dead_session_locks_nobody_out() {
    let mut world = World::classic(&[]);
    let yoda = user(&mut world, "yoda", "y");
    let luke = user(&mut world, "luke", "l");
    let mut lukes = luke.watch(&[]);
    let second = world.home("yoda", "2");
    let pid = yoda.daemon_pid().expect("a running chatd");
    signal(pid, Signal::STOP);
    let file = world.password_file();
    enter(&world, &second, "yoda", &file, &["--timeout", "30s"]).ok();
    signal(pid, Signal::CONT);
    until("the old one learns that it was replaced", || (yoda.link() == "logged_out").then_some(()));
    assert_eq!(second.link(), "online");
    second.sends("luke", "barrier");
    lukes.expect("the barrier", |event| event["text"] == "barrier");
    assert!(lukes.comings_and_goings().is_empty(), "taking over is not news");
}

#[test]
fn a4_a5_presence_and_whoelse_of_five() {
    let mut world = World::classic(&[]);
    let names = ["Hans", "Yoda", "luke", "r2-d2!", "chewie"];
    let homes: Vec<_> = names.iter().enumerate().map(|(n, name)| user(&mut world, name, &n.to_string())).collect();
    let mut watches: Vec<_> = homes.iter().map(|home| home.watch(&[])).collect();
    homes[0].run(&["logout"]).ok();
    for watch in &mut watches[1..] {
        assert_eq!(watch.expect("logout of Hans", presence("Hans", "offline"))["reason"], "logout");
    }
    assert_eq!(homes[1].run(&["whoelse"]).ok().stdout, "chewie\nluke\nr2-d2!\n");
    homes[0].run(&["login", "--no-input", "--password-file", &world.password_file()]).ok();
    for watch in &mut watches[1..] {
        watch.expect("login of Hans", presence("Hans", "online"));
    }
    assert_eq!(homes[1].run(&["whoelse"]).ok().stdout, "Hans\nchewie\nluke\nr2-d2!\n");
    homes[4].sends("Hans", "barrier");
    watches[0].expect("the barrier", |event| event["text"] == "barrier");
    assert!(!watches[0].seen().iter().any(|event| event["user"] == "Hans"), "{:?}", watches[0].seen());
    homes[1].run(&["whoelses"]).exits(2);
    homes[1].run(&["nonsense"]).exits(2);
}

#[test]
fn a6_whoelsesince_inside_outside_and_beyond_the_start() {
    let mut world = World::classic(&[]);
    let (yoda, luke) = (user(&mut world, "yoda", "y"), user(&mut world, "luke", "l"));
    let _han = user(&mut world, "han", "h");
    luke.run(&["logout"]).ok();
    assert_eq!(yoda.run(&["whoelsesince", "200"]).ok().stdout, "han\nluke\n");
    until("luke is out of a window of one second", || {
        (yoda.run(&["whoelsesince", "1"]).ok().stdout == "han\n").then_some(())
    });
    world.server.stop();
    world.server.up();
    yoda.online();
    until("han is back", || (yoda.run(&["whoelse"]).ok().stdout == "han\n").then_some(()));
    assert_eq!(yoda.run(&["whoelsesince", "3d"]).ok().stdout, "han\n", "what was before the start is forgotten");
    yoda.run(&["whoelsesince", "-1"]).exits(2);
}

#[test]
fn a7_a_silent_client_goes_and_says_why() {
    let mut world = World::classic(&[("sessions", "idle_after", "\"12s\"")]);
    let (yoda, luke) = (user(&mut world, "yoda", "y"), user(&mut world, "luke", "l"));
    let mut lukes = luke.watch(&[]);
    // What yoda receives, reads and mistypes does not keep him; that it fails does not take it from luke's commands.
    let gone = within(Duration::from_secs(60), || {
        luke.run(&["message", "yoda", "hello?"]);
        luke.run(&["message", "nobody", "hello?"]).exits(6);
        yoda.run(&["read"]);
        yoda.run(&["status"]);
        yoda.run(&["nonsense"]).exits(2);
        lukes.next_within(Duration::from_millis(200), presence("yoda", "offline"))
    });
    assert_eq!(gone.expect("yoda is logged out")["reason"], "idle");
    yoda.run(&["whoelse"]).exits(4).says("logged out by the server at").says("without activity");
    assert_eq!(yoda.json(&["status"]).json()["link"]["state"], "logged_out");
    yoda.run(&["login", "--no-input"]).exits(12);
    assert_eq!(luke.link(), "online");
}

#[test]
fn a8_messages_to_the_online_the_unknown_oneself_and_the_offline() {
    let mut world = World::classic(&[]);
    let (hans, yoda) = (user(&mut world, "hans", "h"), user(&mut world, "yoda", "y"));
    hans.sends("yoda", "Hey  Dude");
    yoda.gets(&["Hey  Dude"]);
    hans.run(&["message", "Yoda", "other case"]).exits(6);
    hans.run(&["message", "nobody", "x"]).exits(6);
    hans.run(&["message", "hans", "x"]).exits(2);
    yoda.run(&["logout"]).ok();
    for text in ["one", "two", "three"] {
        hans.sends("yoda", text);
    }
    yoda.run(&["login", "--no-input", "--password-file", &world.password_file()]).ok().says("4 unread");
    yoda.gets(&["Hey  Dude", "one", "two", "three"]);
    // His device is the same one after many logins, so nothing comes twice.
    yoda.run(&["logout"]).ok();
    yoda.run(&["login", "--no-input", "--password-file", &world.password_file()]).ok();
    hans.sends("yoda", "last");
    yoda.gets(&["Hey  Dude", "one", "two", "three", "last"]);
}

#[test]
fn what_waited_to_be_sent_survives_a_logout_that_forgets_the_key() {
    let mut world = World::classic(&[]);
    let (hans, yoda) = (user(&mut world, "hans", "h"), user(&mut world, "yoda", "y"));
    world.server.stop();
    hans.run(&["message", "yoda", "queued before the logout"]).exits(5);
    hans.run(&["logout", "--force"]).ok();
    world.server.up();
    yoda.online();
    hans.run(&["login", "--no-input", "--password-file", &world.password_file(), "--timeout", "20s"]).ok();
    yoda.gets(&["queued before the logout"]);
}

#[test]
fn a9_a_broadcast_says_that_some_were_missed() {
    let mut world = World::classic(&[]);
    let (hans, yoda) = (user(&mut world, "hans", "h"), user(&mut world, "yoda", "y"));
    let luke = user(&mut world, "luke", "l");
    hans.run(&["broadcast", "all of you"]).ok().never_says("could not be delivered");
    yoda.run(&["block", "hans"]).ok();
    let partly = hans.run(&["broadcast", "again"]).exits(8).says("could not be delivered to some recipients");
    assert!(!partly.stdout.contains("yoda") && !partly.stderr.contains("yoda"), "never who: {partly}");
    assert_eq!(hans.json(&["broadcast", "again"]).exits(8).json()["complete"], false);
    yoda.run(&["logout"]).ok();
    hans.run(&["broadcast", "last"]).ok().never_says("could not be delivered");
    luke.gets(&["all of you", "again", "again", "last"]);
}

#[test]
fn a10_all_effects_of_a_block_and_their_end() {
    let mut world = World::classic(&[]);
    let (hans, yoda) = (user(&mut world, "Hans", "h"), user(&mut world, "yoda", "y"));
    let luke = user(&mut world, "luke", "l");
    let (mut yodas, mut lukes) = (yoda.watch(&[]), luke.watch(&[]));
    hans.run(&["block", "yoda"]).ok().says("yoda is blocked");
    yoda.run(&["message", "Hans", "hm?"]).exits(7).says("Hans has blocked you");
    assert_eq!(yoda.run(&["whoelse"]).ok().stdout, "luke\n");
    assert_eq!(yoda.run(&["whoelsesince", "100"]).ok().stdout, "luke\n");
    hans.run(&["logout"]).ok();
    lukes.expect("logout of Hans", presence("Hans", "offline"));
    yoda.run(&["message", "Hans", "hm?"]).exits(7);
    hans.run(&["login", "--no-input", "--password-file", &world.password_file()]).ok();
    lukes.expect("login of Hans", presence("Hans", "online"));
    hans.sends("yoda", "you may hear me");
    yodas.expect("the message", |event| event["text"] == "you may hear me");
    assert!(!yodas.seen().iter().any(|event| event["user"] == "Hans"), "{:?}", yodas.seen());
    assert_eq!(hans.received(), Vec::<String>::new());
    hans.run(&["unblock", "yoda"]).ok();
    hans.json(&["unblock", "yoda"]).fails_with("not_blocked", 6);
    hans.json(&["block", "Hans"]).fails_with("yourself", 2);
    hans.json(&["block", "hans"]).fails_with("unknown_user", 6);
    yoda.sends("Hans", "back");
    hans.gets(&["back"]);
    assert_eq!(yoda.run(&["whoelse"]).ok().stdout, "Hans\nluke\n");
    hans.run(&["logout"]).ok();
    yodas.expect("logout of Hans", presence("Hans", "offline"));
}

/// `chat-server run --port P --block-duration S --timeout S` in an empty directory, and again in the same one.
#[test]
fn the_exercises_command_line_needs_no_init() {
    let mut world = World::start();
    let dir = world.path("own");
    let file = world.file("c.txt", b"yoda wise@!man\nluke light==saber");
    let password = world.file("p", b"light==saber\n");
    let port = free_port().to_string();
    let run = || {
        let mut run = command("chat-server");
        run.arg("--dir").arg(&dir).args(["run", "--port", &port, "--block-duration", "2", "--timeout", "60"]);
        run.args(["--credentials", &file]).stdout(Stdio::null()).stderr(Stdio::null());
        run.spawn().expect("chat-server can be started")
    };
    let ctl = |args: &[&str]| {
        let mut ctl = command("chat-server");
        ctl.arg("--dir").arg(&dir).args(args);
        Output::new(args.join(" "), &ctl.output().expect("chat-server can be run"))
    };
    let server = format!("127.0.0.1:{port}");
    let home = world.home("luke", "l");
    for start in 0..2 {
        let mut child = run();
        until("it listens", || {
            fs::read_to_string(dir.join("run/listen")).ok().filter(|text| text.contains(&server)).map(|_| ())
        });
        let print = ctl(&["cert", "fingerprint"]).ok().stdout.trim().to_owned();
        let login =
            ["login", "luke", "--server", &server, "--trust", &print, "--no-input", "--password-file", &password];
        home.run(&login).ok().says("Logged in as luke");
        home.run(&["logout"]).ok();
        if start == 0 {
            signal(child.id(), Signal::TERM);
            assert!(child.wait().expect("it ends").success());
        }
        kill_child(&mut child);
    }
    let refused = ctl(&["run", "--port", "1", "--timeout", "0"]).exits(2);
    assert!(refused.stderr.contains("1 or more"), "{refused}");
    ctl(&["run", "--port", "1", "--listen", "127.0.0.1:1"]).exits(2);
}

/// Kills the server at each system call with which a line gets into the credentials file.
#[test]
fn a_kill_at_any_point_of_the_append_leaves_a_whole_file() {
    if !needs::strace() {
        return;
    }
    let mut world = World::classic(&[]);
    world.server.stop();
    let file = world.server.dir().join("credentials.txt");
    fs::write(&file, "yoda wise@!man\r\nluke light==saber").expect("the credentials file");
    let whole = fs::read_to_string(&file).expect("it can be read");
    let beside = world.server.dir().join(".credentials.txt.new");
    let password = world.password_file();
    let (mut died, mut kept) = (0, whole);
    // In the order of the change: made (the start makes one too, to see that it may), written, synced, renamed, the rename synced.
    let dir = world.server.dir().to_owned();
    let faults = [
        ("openat", 2, &beside),
        ("write", 1, &beside),
        ("fsync", 1, &beside),
        ("rename", 1, &beside),
        ("fsync", 1, &dir),
    ];
    for (index, (call, when, path)) in faults.into_iter().enumerate() {
        let name = format!("n{index}");
        let inject = format!("inject={call}:signal=SIGKILL:when={when}");
        let wrap = ["strace", "-D", "-fqq", "-o", "/dev/null", "-P", &path.display().to_string(), "-e", &inject];
        if world.server.launch(&wrap.map(str::to_owned)).is_err() {
            world.server.up();
        }
        let home = world.home(&name, &name);
        let tried = enter(&world, &home, &name, &password, &["--yes", "--timeout", "3s"]);
        let ended = within(Duration::from_secs(2), || world.server.ended()).is_some();
        died += u32::from(ended);
        world.server.kill();
        let now = fs::read_to_string(&file).expect("the file is there");
        let line = format!("{name} {}\r\n", chat_tests::world::PASSWORD);
        let with_line = format!("{}{line}", if kept.ends_with("\r\n") { kept.clone() } else { format!("{kept}\r\n") });
        assert!(now == kept || now == with_line, "{call} of {}: {now:?}", path.display());
        assert!(tried.code != 0 || now == with_line, "an account without a line: {tried}");
        world.server.up();
        // Either the name is free, or it is his who signed up: the same words get him in.
        enter(&world, &home, &name, &password, &["--yes", "--timeout", "20s"]).ok();
        kept = fs::read_to_string(&file).expect("the file is there");
        assert_eq!(kept, with_line, "one line, the last one");
        home.run(&["logout"]).ok();
        world.server.stop();
    }
    assert!(died >= 4, "the faults hit: {died}");
    assert_eq!(kept.lines().count(), 7);
}
