//! The daemon: starts by itself, lives once, survives kills, refuses unsafe places (S33-S36), is found without an environment.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Stdio;

use chat_tests::process::{alive, command, listener_pid, until};
use chat_tests::{Home, Output, World, needs};

/// Races of two daemons started at once with real processes, unless CHAT_RACES says how many; a thousand more are run in chat-local's
/// own tests.
const RACES: u32 = 50;
/// A uid that owns nothing.
const STRANGER: u32 = 65_534;

#[test]
fn chatctl_starts_the_daemon() {
    let mut world = World::start();
    let home = world.bare("alice", "alice");
    home.run(&["status"]).exits(3);
    home.json(&["status"]).exits(3);
    let (server, file) = (world.server.address().to_string(), world.password_file());
    let args = [
        "register",
        "alice",
        "--server",
        &server,
        "--trust",
        world.server.fingerprint(),
        "--password-file",
        &file,
        "--no-input",
    ];
    home.finish(home.autostarting(&args), &args).ok();
    let pid = home.daemon_pid().expect("a daemon serves the home");
    // it is detached: it outlived chatctl, and a second command finds it
    home.run(&["daemon", "status"]).ok();
    assert_eq!(home.daemon_pid(), Some(pid));
    home.run(&["daemon", "restart"]).ok();
    let next = home.daemon_pid().expect("a daemon serves the home");
    assert_ne!(next, pid);
    home.online();
    home.run(&["daemon", "stop"]).ok();
    until("the daemon is gone", || (!alive(next)).then_some(()));
    home.run(&["daemon", "status"]).exits(3);
    // after kill -9 the next command starts another
    home.finish(home.autostarting(&["status"]), &["status"]).ok();
    home.kill();
    home.finish(home.autostarting(&["status"]), &["status"]).ok();
    home.online();
}

#[test]
fn a_daemon_says_how_it_is() {
    let mut world = World::start();
    let home = world.user("alice");
    let status = home.json(&["daemon", "status"]).ok().json();
    assert_eq!(status["type"], "daemon");
    assert_eq!(status["pid"].as_u64(), home.daemon_pid().map(u64::from));
    home.run(&["daemon", "logs"]).ok();
    let paths = home.run(&["config", "path"]).ok();
    assert!(paths.stdout.contains(&home.dir().display().to_string()), "{paths}");
    home.run(&["config", "check"]).ok();
    let config = home.dir().join("config/config.toml");
    let text = fs::read_to_string(&config).unwrap_or_default();
    fs::create_dir_all(home.dir().join("config")).expect("our directory");
    fs::write(&config, format!("{text}\nhistroy = 3\n")).expect("the configuration can be written");
    home.run(&["config", "check"]).exits(14).says("histroy");
}

#[test]
fn two_daemons_started_at_once_one_lives() {
    let mut world = World::start();
    let home = world.bare("alice", "alice");
    for race in 0..std::env::var("CHAT_RACES").ok().and_then(|count| count.parse().ok()).unwrap_or(RACES) {
        let mut pair: Vec<_> = (0..2)
            .map(|_| {
                let mut run = command("chatd");
                run.arg("--foreground").arg("--home").arg(home.dir()).stdout(Stdio::null()).stderr(Stdio::piped());
                run.spawn().expect("chatd can be started")
            })
            .collect();
        let loser = until("one of two daemons gives up", || {
            pair.iter_mut().position(|child| child.try_wait().ok().flatten().is_some())
        });
        let mut winner = pair.swap_remove(1 - loser);
        until("the other one serves", || (home.daemon_pid() == Some(winner.id())).then_some(()));
        assert!(alive(winner.id()), "race {race}: nobody lives");
        let gone = pair.remove(0).wait_with_output().expect("it ended");
        assert_ne!(gone.status.code(), Some(0), "race {race}: the loser says why it does not serve");
        // kill -9 leaves a stale socket for the next round (S36)
        winner.kill().expect("our child");
        winner.wait().expect("our child");
        assert!(home.socket().exists(), "race {race}: no stale socket was left to test with");
    }
}

#[test]
fn many_commands_at_once_start_one_daemon() {
    let mut world = World::start();
    let home = world.bare("alice", "alice");
    let all: Vec<_> = (0..8)
        .map(|_| {
            home.autostarting(&["profile", "list"])
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .expect("chatctl")
        })
        .collect();
    for child in all {
        let output = child.wait_with_output().expect("chatctl ends");
        Output::new("chatctl profile list".into(), &output).ok();
    }
    let pid = home.daemon_pid().expect("a daemon serves the home");
    // those that came too late may be on their way out
    until("one chatd is there", || (daemons(&home) == [pid]).then_some(()));
    home.kill();
    assert!(!alive(pid));
    assert_eq!(home.daemon_pid(), None);
}

/// The chatds of a home; what they start, as the runner of hooks, is theirs and not counted.
fn daemons(home: &Home) -> Vec<u32> {
    let place = home.dir().display().to_string();
    let holds = |bytes: &[u8]| bytes.windows(place.len()).any(|window| window == place.as_bytes());
    let mut found = BTreeMap::new();
    for pid in fs::read_dir("/proc").expect("processes").flatten() {
        let Some(pid) = pid.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let about = |name: &str| fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
        let is_chatd = about("comm").starts_with(b"chatd");
        if is_chatd && alive(pid) && (holds(&about("cmdline")) || holds(&about("environ"))) {
            let stat = String::from_utf8_lossy(&about("stat")).into_owned();
            let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
            found.insert(pid, parent.unwrap_or(0));
        }
    }
    found.iter().filter(|(_, parent)| !found.contains_key(parent)).map(|(pid, _)| *pid).collect()
}

#[test]
fn s33_the_socket_is_for_its_user_alone() {
    let mut world = World::start();
    let home = world.user("alice");
    let mode = |path: &std::path::Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(&home.dir().join("run")), 0o700);
    assert_eq!(mode(&home.socket()), 0o600);
    if !needs::root("being another user") {
        return;
    }
    // another user, let in by mistake through every directory: refused by his uid, and no byte is answered
    let opened = [home.dir().parent().expect("the world's directory"), home.dir(), &home.dir().join("run")];
    for dir in opened {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).expect("our directory");
    }
    fs::set_permissions(home.socket(), fs::Permissions::from_mode(0o666)).expect("our socket");
    let socket = home.socket();
    let answer = as_stranger(move || {
        let mut stream = UnixStream::connect(socket).expect("nothing but the uid stops him");
        let hello = r#"{"jsonrpc":"2.0","id":1,"method":"hello","params":{"versions":{"min":1,"max":1},"build":"x"}}"#;
        let _ = writeln!(stream, "{hello}");
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        answer
    });
    assert_eq!(String::from_utf8_lossy(&answer), "");
    // our own chatctl does not use a directory that others may enter
    home.run(&["status"]).exits(3).says("0755");
    for dir in opened {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).expect("our directory");
    }
    home.run(&["status"]).ok();
}

/// Runs something under the uid that owns nothing, on a thread of its own: a thread's uid counts.
fn as_stranger<T: Send + 'static>(what: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = std::thread::spawn(move || {
        let uid = rustix::process::Uid::from_raw(STRANGER);
        rustix::thread::set_thread_res_uid(uid, uid, uid).expect("root may become anyone");
        what()
    });
    thread.join().expect("what the stranger does works")
}

#[test]
fn s34_unsafe_directories_are_refused() {
    let mut world = World::start();
    let home = world.bare("alice", "alice");
    let run = home.dir().join("run");
    let start = || {
        let output =
            command("chatd").arg("--foreground").arg("--home").arg(home.dir()).output().expect("chatd can be run");
        Output::new("chatd --foreground".into(), &output)
    };
    // group or others may enter
    fs::create_dir(&run).expect("a fresh directory");
    fs::set_permissions(&run, fs::Permissions::from_mode(0o770)).expect("our directory");
    let refused = start();
    assert_eq!(refused.code, 77, "{refused}");
    refused.says("run");
    // a symlink
    fs::remove_dir(&run).expect("our directory");
    let elsewhere = world.path("elsewhere");
    fs::create_dir(&elsewhere).expect("a fresh directory");
    fs::set_permissions(&elsewhere, fs::Permissions::from_mode(0o700)).expect("our directory");
    symlink(&elsewhere, &run).expect("a link");
    let refused = start();
    assert_eq!(refused.code, 77, "{refused}");
    fs::remove_file(&run).expect("our link");
    if needs::root("giving a directory away") {
        // a foreign owner
        fs::create_dir(&run).expect("a fresh directory");
        fs::set_permissions(&run, fs::Permissions::from_mode(0o700)).expect("our directory");
        std::os::unix::fs::chown(&run, Some(STRANGER), None).expect("root may give away");
        let refused = start();
        assert_eq!(refused.code, 77, "{refused}");
        fs::remove_dir(&run).expect("our directory");
    }
    home.up();
    home.run(&["profile", "list"]).ok();
}

#[test]
fn s35_a_squatted_socket_gets_no_byte() {
    if !needs::root("being another user") {
        return;
    }
    let mut world = World::start();
    let home = world.bare("alice", "alice");
    // the squatter listens in a place of his own, and a mistake of the admin brings the socket where chatctl looks
    let squat = world.path("squat");
    fs::create_dir(&squat).expect("a fresh directory");
    fs::set_permissions(&squat, fs::Permissions::from_mode(0o777)).expect("our directory");
    fs::set_permissions(squat.parent().expect("the world's directory"), fs::Permissions::from_mode(0o755))
        .expect("ours");
    let path = squat.join("sock");
    let bound = path.clone();
    let listener = as_stranger(move || UnixListener::bind(bound).expect("the squatter binds"));
    let run = home.dir().join("run");
    fs::create_dir(&run).expect("a fresh directory");
    fs::set_permissions(&run, fs::Permissions::from_mode(0o700)).expect("our directory");
    let socket = home.socket();
    fs::rename(path, &socket).expect("root may move it");
    listener.set_nonblocking(true).expect("our listener");
    let refused = || home.run(&["--timeout", "10s", "status"]).exits(3).says(&format!("belongs to uid {STRANGER}"));
    // a socket of his is not even dialled
    refused();
    assert!(listener.accept().is_err(), "chatctl dials what is not ours");
    // one that looks like ours is: who listens there is asked of the system before a byte
    std::os::unix::fs::chown(&socket, Some(0), Some(0)).expect("root may take it");
    refused();
    let (mut stream, _) = listener.accept().expect("chatctl dialled");
    let mut got = Vec::new();
    let _ = stream.read_to_end(&mut got);
    assert!(got.is_empty(), "chatctl sent {} bytes to a squatter", got.len());
}

#[test]
fn s36_a_stale_socket_is_replaced_and_a_living_one_is_not() {
    let mut world = World::start();
    let home = world.user("alice");
    home.kill();
    assert!(home.socket().exists());
    home.up();
    home.online();
    let pid = home.daemon_pid();
    let second = command("chatd").arg("--foreground").arg("--home").arg(home.dir()).output().expect("chatd can be run");
    assert_ne!(second.status.code(), Some(0));
    assert_eq!(listener_pid(&home.socket()), pid, "the second one took the socket away");
    home.run(&["status"]).ok();
    // plain chatd, which detaches, says so too
    let second = command("chatd").arg("--home").arg(home.dir()).output().expect("chatd can be run");
    let second = Output::new("chatd".into(), &second);
    assert_ne!(second.code, 0, "{second}");
    assert_eq!(home.daemon_pid(), pid);
}

/// What a unit does before systemd listens in chatd's place.
#[test]
fn a_stale_socket_is_swept_and_a_living_one_is_not() {
    let mut world = World::start();
    let home = world.user("alice");
    let sweep = || {
        let swept = command("chatd").args(["--sweep", "--home"]).arg(home.dir()).output().expect("chatd can be run");
        Output::new("chatd --sweep".into(), &swept).ok();
    };
    let pid = home.daemon_pid();
    sweep();
    assert_eq!(home.daemon_pid(), pid, "a living one was robbed");
    home.run(&["status"]).ok();
    home.kill();
    assert!(home.socket().exists());
    // a chatctl that starts one just now is not held up by it
    let starts = fs::File::options().write(true).open(home.dir().join("state/spawn.lock")).expect("chatctl made it");
    starts.lock().expect("nobody starts one");
    sweep();
    assert!(home.socket().exists(), "the lock of a chatd that begins may have been taken");
    drop(starts);
    sweep();
    assert!(!home.socket().exists());
    sweep();
    // one that holds no lock of ours and answers
    let other = UnixListener::bind(home.socket()).expect("nothing is there");
    sweep();
    assert!(home.socket().exists());
    drop(other);
    // what is no socket is somebody's
    fs::remove_file(home.socket()).expect("ours");
    fs::write(home.socket(), "dear").expect("a file");
    sweep();
    assert_eq!(fs::read_to_string(home.socket()).expect("it is there"), "dear");
}

#[test]
fn the_daemon_is_found_with_an_empty_environment() {
    let mut world = World::start();
    let home = world.user("alice");
    let mut bare = home.command(&["--home", &home.dir().display().to_string(), "status"]);
    bare.env_clear();
    home.finish(bare, &["status"]).ok().says("alice");
}

#[test]
fn a_hung_client_does_not_stop_the_others() {
    let mut world = World::start();
    let (alice, bob) = (world.user("alice"), world.user("bob"));
    let hung: Vec<_> = (0..8)
        .map(|_| {
            let mut stream = UnixStream::connect(alice.socket()).expect("our socket");
            stream.write_all(b"{\"jsonrpc\":").expect("half a line");
            stream
        })
        .collect();
    alice.sends("bob", "through");
    bob.gets(&["through"]);
    drop(hung);
}
