//! Another user of the same host, with races (S33 to S38, S40): what he prepares, puts in the way or listens on gets nothing of ours.
//! A short slice here; `tests/safety/run local` has the long form. Needs root, to be two users, and says so where there is none.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chat_proto::limits::{CONTROL_CONNECTIONS, CONTROL_STALL};
use chat_tests::process::{PATIENCE, alive, binary, command, kill_child, listener_pid, until, within};
use chat_tests::{Home, Output, World, needs};
use serde_json::{Value, json};

/// The other user.
const STRANGER: u32 = 54_321;
/// Races of a slice.
const RACES: u64 = 15;

/// How many races there are: CHAT_RACES, else a slice.
fn races() -> u64 {
    std::env::var("CHAT_RACES").ok().and_then(|count| count.parse().ok()).unwrap_or(RACES)
}

fn is_root() -> bool {
    needs::root("being two users")
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("our file");
}

/// What the stranger does until it is dropped, on a thread of its own: a thread's uid counts.
struct Attack {
    goes_on: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Attack {
    fn start(mut step: impl FnMut() + Send + 'static) -> Attack {
        let goes_on = Arc::new(AtomicBool::new(true));
        let flag = Arc::clone(&goes_on);
        let thread = std::thread::spawn(move || {
            let uid = rustix::process::Uid::from_raw(STRANGER);
            let gid = rustix::process::Gid::from_raw(STRANGER);
            rustix::thread::set_thread_res_gid(gid, gid, gid).expect("root may become anyone");
            rustix::thread::set_thread_res_uid(uid, uid, uid).expect("root may become anyone");
            while flag.load(Ordering::Relaxed) {
                step();
            }
        });
        Attack { goes_on, thread: Some(thread) }
    }
}

impl Drop for Attack {
    fn drop(&mut self) {
        self.goes_on.store(false, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("the stranger's own steps failed");
        }
    }
}

fn daemon(home: &Home, socket: &Path) -> Child {
    let mut run = command("chatd");
    run.arg("--foreground").arg("--home").arg(home.dir()).arg("--socket").arg(socket);
    run.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("chatd can be started")
}

/// Waits until the daemon listens or has ended.
fn settled(child: &mut Child, socket: &Path) -> bool {
    let pid = child.id();
    until("chatd serves or gives up", || match child.try_wait().expect("our child") {
        Some(_) => Some(false),
        None => (listener_pid(socket) == Some(pid)).then_some(true),
    })
}

#[test]
fn s33_a_stranger_who_gets_in_hears_nothing() {
    if !is_root() {
        return;
    }
    let mut world = World::start();
    let home = world.user("alice");
    // let in through every directory by mistake, while our own calls go on from within
    for open in [home.dir().parent().expect("the world"), home.dir(), &home.dir().join("run")] {
        set_mode(open, 0o755);
    }
    set_mode(&home.socket(), 0o666);
    let (tries, heard) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let attack = {
        let (socket, tries, heard) = (home.socket(), Arc::clone(&tries), Arc::clone(&heard));
        Attack::start(move || {
            let Ok(mut stream) = UnixStream::connect(&socket) else { return };
            let hello = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"hello\",\"params\":{\"versions\":{\"min\":1,\"max\":1},\"build\":\"x\"}}\n";
            let _ = stream.write_all(hello);
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer);
            heard.fetch_add(answer.len() as u64, Ordering::Relaxed);
            tries.fetch_add(1, Ordering::Relaxed);
        })
    };
    until("the stranger has tried often enough", || (tries.load(Ordering::Relaxed) >= races()).then_some(()));
    drop(attack);
    assert_eq!(heard.load(Ordering::Relaxed), 0, "the stranger was answered");
    set_mode(&home.dir().join("run"), 0o700);
    home.run(&["status"]).ok();
}

/// A directory that others reach and write to.
fn public_place(world: &World, mode: u32) -> PathBuf {
    let place = world.path("place");
    fs::create_dir(&place).expect("a fresh directory");
    set_mode(&place, mode);
    set_mode(place.parent().expect("the world"), 0o755);
    place
}

#[test]
fn s34_what_a_stranger_prepares_is_never_used() {
    if !is_root() {
        return;
    }
    let mut world = World::start();
    let home = world.bare("alice", "alice");
    // everybody may make something there, as in /tmp
    let place = public_place(&world, 0o1777);
    let trap = world.path("trap");
    fs::create_dir(&trap).expect("a fresh directory");
    chown(&trap, Some(STRANGER), None).expect("root may give away");
    set_mode(&trap, 0o777);
    let turn = Arc::new(AtomicU64::new(0));
    let attack = {
        let (turn, place, trap) = (Arc::clone(&turn), place.clone(), trap.clone());
        let mut step = 0_u64;
        Attack::start(move || {
            let run = place.join(turn.load(Ordering::Relaxed).to_string());
            step += 1;
            let _ = if step.is_multiple_of(2) { symlink(&trap, &run) } else { fs::create_dir(&run) };
            std::thread::yield_now();
        })
    };
    let (mut served, mut refused) = (0, 0);
    for race in 1..=races() {
        let socket = place.join(race.to_string()).join("sock");
        // half of the races the stranger is there, in half of those before chatd begins
        if race.is_multiple_of(4) {
            turn.store(race, Ordering::Relaxed);
            until("the stranger came first", || fs::symlink_metadata(place.join(race.to_string())).ok());
        }
        let mut child = daemon(&home, &socket);
        if race.is_multiple_of(2) {
            turn.store(race, Ordering::Relaxed);
        }
        let serves = settled(&mut child, &socket);
        turn.store(0, Ordering::Relaxed);
        if serves {
            served += 1;
            let dir = fs::symlink_metadata(place.join(race.to_string())).expect("chatd's directory");
            assert!(dir.is_dir() && dir.permissions().mode() & 0o777 == 0o700, "race {race}: {dir:?}");
            assert_eq!(std::os::unix::fs::MetadataExt::uid(&dir), 0, "race {race}: the stranger's directory is used");
            kill_child(&mut child);
        } else {
            refused += 1;
            let output = Output::new("chatd".into(), &child.wait_with_output().expect("it ended"));
            assert!([77, 73].contains(&output.code) && output.stderr.contains("next: "), "race {race}: {output}");
        }
        assert!(
            fs::read_dir(&trap).expect("the trap").next().is_none(),
            "race {race}: something of ours is in the trap"
        );
    }
    drop(attack);
    assert!(served > 0, "no race was won by us: {refused} refused");
    assert!(refused >= races() / 4, "what he made first was used: {served} served, {refused} refused");
}

#[test]
fn s35_a_squatter_never_gets_a_byte() {
    if !is_root() {
        return;
    }
    let mut world = World::start();
    let home = world.bare("alice", "alice");
    // the worst place: everybody may rename what is in it, our directory too
    let place = public_place(&world, 0o777);
    let (ours, his) = (place.join("run"), place.join("his"));
    let socket = ours.join("sock");
    let mut child = daemon(&home, &socket);
    assert!(settled(&mut child, &socket));
    fs::create_dir(&his).expect("a fresh directory");
    chown(&his, Some(STRANGER), None).expect("root may give away");
    let (bytes, swaps, dialled) =
        (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let attack = {
        let (ours, his, place) = (ours.clone(), his.clone(), place.clone());
        let (bytes, swaps, dialled) = (Arc::clone(&bytes), Arc::clone(&swaps), Arc::clone(&dialled));
        let mut listener: Option<UnixListener> = None;
        Attack::start(move || {
            let listener = listener.get_or_insert_with(|| {
                let listener = UnixListener::bind(his.join("sock")).expect("the squatter binds");
                listener.set_nonblocking(true).expect("his listener");
                listener
            });
            // until his place looks like ours, so that it is dialled
            if fs::metadata(&his).is_ok_and(|about| std::os::unix::fs::MetadataExt::uid(&about) == STRANGER) {
                std::thread::yield_now();
                return;
            }
            let aside = place.join("aside");
            let swapped = fs::rename(&ours, &aside).and_then(|()| fs::rename(&his, &ours));
            let end = Instant::now() + Duration::from_millis(2);
            while Instant::now() < end {
                if let Ok((mut stream, _)) = listener.accept() {
                    dialled.fetch_add(1, Ordering::Relaxed);
                    let _ = stream.set_nonblocking(false);
                    let _ = stream.set_read_timeout(Some(Duration::from_millis(50)));
                    let mut got = [0; 64];
                    bytes.fetch_add(stream.read(&mut got).unwrap_or(0) as u64, Ordering::Relaxed);
                }
            }
            if swapped.is_ok() {
                let _ = fs::rename(&ours, &his);
                swaps.fetch_add(1, Ordering::Relaxed);
            }
            let _ = fs::rename(&aside, &ours);
            // ours is there about as long as his
            let end = Instant::now() + Duration::from_millis(2);
            while Instant::now() < end {
                std::thread::yield_now();
            }
        })
    };
    until("the squatter listens", || his.join("sock").exists().then_some(()));
    chown(his.join("sock"), Some(0), Some(0)).expect("root may take it");
    set_mode(&his, 0o700);
    chown(&his, Some(0), Some(0)).expect("root may take it");
    let (mut answered, mut refused) = (0, 0);
    let end = Instant::now() + PATIENCE;
    let mut race = 0;
    // as many as are wanted, and on until he was met
    while race < races() || (refused == 0 && Instant::now() < end) {
        race += 1;
        let mut run = command("chatctl");
        run.args(["--no-autostart", "--timeout", "5s", "--socket"]).arg(&socket).args(["profile", "list"]);
        let output =
            Output::new(format!("chatctl, race {race}"), &run.env("CHAT_HOME", home.dir()).output().expect("chatctl"));
        match output.code {
            0 => answered += 1,
            3 if output.stderr.contains(&format!("belongs to uid {STRANGER}")) => refused += 1,
            // a moment without either
            3 => {}
            _ => panic!("race {race}: {output}"),
        }
    }
    until("the squatter has swapped", || (swaps.load(Ordering::Relaxed) > 0).then_some(()));
    drop(attack);
    kill_child(&mut child);
    let dialled = dialled.load(Ordering::Relaxed);
    let met = format!("{answered} answered, {refused} refused, {dialled} dialled");
    assert_eq!(bytes.load(Ordering::Relaxed), 0, "the squatter got something ({met})");
    assert!(refused > 0 && dialled > 0, "he was never met: {met}");
}

#[test]
fn s37_secrets_are_in_no_place_that_others_see() {
    const SECRET: &str = "not-to-be-seen-9f2c";
    let mut world = World::start();
    let home = world.home("alice", "alice");
    let file = world.file("secret", SECRET.as_bytes());
    world.register(&home, &["--password-file", &file]).ok();
    let seen = |pid: u32| {
        ["cmdline", "environ"].map(|name| fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default()).concat()
    };
    let holds = |bytes: &[u8]| bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
    for pid in [home.daemon_pid().expect("chatd runs"), world.server.pid().expect("it runs")] {
        assert!(!holds(&seen(pid)), "a secret is among arguments or variables of {pid}");
        let limits = fs::read_to_string(format!("/proc/{pid}/limits")).expect("limits of our process");
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a limit of cores");
        assert!(core.contains(" 0 "), "{core}");
    }
    // no file of either holds it, logs among them: neither password nor key in readable form
    for dir in [home.dir().to_path_buf(), world.server.dir().to_path_buf()] {
        let mut files = Vec::new();
        gather(&dir, &mut files);
        files.extend([home.log(), world.server.log()]);
        for file in files {
            assert!(!holds(&fs::read(&file).unwrap_or_default()), "{} holds the password", file.display());
        }
    }
    if !is_root() {
        return;
    }
    // a process of one's own that may be dumped belongs to its user in /proc; ours do not
    let stage = world.path("stranger");
    fs::create_dir(&stage).expect("a fresh directory");
    chown(&stage, Some(STRANGER), Some(STRANGER)).expect("root may give away");
    set_mode(stage.parent().expect("the world"), 0o755);
    let copy = world.path("chatd-copy");
    assert!(Command::new("cp").arg(binary("chatd")).arg(&copy).status().expect("cp").success());
    set_mode(&copy, 0o755);
    let mut run = Command::new(&copy);
    run.args(["--foreground", "--home"]).arg(&stage).env_clear().stdin(Stdio::null()).stderr(Stdio::null());
    let mut child = run.uid(STRANGER).gid(STRANGER).spawn().expect("chatd can be started");
    let socket = stage.join("run/sock");
    until("chatd serves", || socket.exists().then_some(()));
    let owner =
        std::os::unix::fs::MetadataExt::uid(&fs::metadata(format!("/proc/{}/mem", child.id())).expect("it runs"));
    kill_child(&mut child);
    assert_eq!(owner, 0, "its memory can be read by other processes of its user");
}

fn gather(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => gather(&entry.path(), files),
            Ok(kind) if kind.is_file() => files.push(entry.path()),
            _ => {}
        }
    }
}

/// A caller that speaks the control conversation by itself.
struct Caller {
    stream: UnixStream,
    lines: BufReader<UnixStream>,
    said: u64,
}

impl Caller {
    /// Somebody who said hello.
    fn of(home: &Home) -> Caller {
        let stream = UnixStream::connect(home.socket()).expect("a seat");
        stream.set_read_timeout(Some(PATIENCE)).expect("our socket");
        let lines = BufReader::new(stream.try_clone().expect("a second handle"));
        let mut caller = Caller { stream, lines, said: 0 };
        let hello = caller.asks("hello", json!({"versions": {"min": 1, "max": 1}, "build": "x"}));
        assert_eq!(hello["version"], 1, "{hello}");
        caller
    }

    fn says(&mut self, method: &str, params: Value) {
        self.said += 1;
        let line = json!({"jsonrpc": "2.0", "id": self.said, "method": method, "params": params});
        self.stream.write_all(format!("{line}\n").as_bytes()).expect("chatd listens");
    }

    /// The next answer.
    fn hears(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("chatd answers");
        let mut answer: Value = serde_json::from_str(&line).expect("one object a line");
        answer["result"].take()
    }

    fn asks(&mut self, method: &str, params: Value) -> Value {
        self.says(method, params);
        self.hears()
    }
}

/// Callers at this moment, the one that asks among them.
fn callers(home: &Home) -> u64 {
    home.json(&["daemon", "status"]).ok().json()["connections"].as_u64().expect("a count")
}

#[test]
fn s38_callers_that_hang_or_flood_are_dropped_and_others_served() {
    let mut world = World::start();
    let home = world.user("alice");
    let pid = home.daemon_pid().expect("chatd runs");
    // as many as there are seats, who may be silent as they said hello: the next one waits for its turn, as long as its deadline
    let mut polite: Vec<_> = (0..CONTROL_CONNECTIONS).map(|_| Caller::of(&home)).collect();
    home.run(&["--timeout", "1s", "status"]).exits(9).says("did not answer in time");
    let mut stays = polite.pop().expect("one of them");
    drop(polite);
    home.run(&["status"]).ok();
    // as many again who say nothing at all: they are sent away, so that others are served
    let silent: Vec<_> = (0..80).map(|_| UnixStream::connect(home.socket()).expect("a seat")).collect();
    home.run(&["--timeout", "90s", "status"]).ok();
    for mut silent in silent.into_iter().take(CONTROL_CONNECTIONS - 1) {
        silent.set_read_timeout(Some(PATIENCE)).expect("our socket");
        assert_eq!(silent.read(&mut [0]).expect("it is ended"), 0);
    }
    assert_eq!(stays.asks("daemon_status", json!({}))["pid"], pid, "who said hello may be silent");
    // a line without an end
    let mut endless = UnixStream::connect(home.socket()).expect("a seat");
    let _ = endless.set_write_timeout(Some(Duration::from_secs(20)));
    let chunk = [b'x'; 64 * 1024];
    let cut = within(Duration::from_secs(20), || endless.write_all(&chunk).err());
    assert!(cut.is_some(), "a line without an end is cut off");
    assert!(alive(pid), "chatd lives");
    home.run(&["status"]).ok();
}

#[test]
fn s38_a_follower_that_does_not_read_is_dropped() {
    let mut world = World::start();
    let (home, bob) = (world.user("alice"), world.user("bob"));
    let mut follower = Caller::of(&home);
    assert!(follower.asks("watch", json!({"profile": ""}))["index"].is_u64());
    // far more than the system holds for him
    let begun = Instant::now();
    let text = "x".repeat(64 * 1024);
    for _ in 0..16 {
        bob.pipe(&["message", "alice", "-"], text.as_bytes()).ok();
    }
    until("chatd has all of it", || (home.received().len() == 16).then_some(()));
    let dropped = within(CONTROL_STALL + PATIENCE, || (callers(&home) == 1).then_some(()));
    assert!(dropped.is_some(), "he holds his seat for ever");
    assert!(begun.elapsed() >= CONTROL_STALL, "he had some time to read");
    home.run(&["status"]).ok();
}

#[test]
fn s38_callers_that_are_gone_hold_no_seats() {
    let mut world = World::start();
    let home = world.user("alice");
    let _bob = world.user("bob");
    let sent = home.json(&["message", "bob", "never read"]).ok().json();
    let id = sent["id"].as_str().expect("an id");
    for round in 0..3 {
        // each of them waits for what does not come
        let mut waiting: Vec<_> = (0..30)
            .map(|_| {
                let mut run = home.command(&["show", id, "--wait", "read", "--timeout", "1h"]);
                run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("chatctl")
            })
            .collect();
        until("they all have a seat", || (callers(&home) > 30).then_some(()));
        assert!(waiting.iter_mut().all(|child| child.try_wait().expect("our child").is_none()), "round {round}");
        waiting.iter_mut().for_each(kill_child);
    }
    home.run(&["--timeout", "10s", "status"]).ok();
    until("all seats are free", || (callers(&home) == 1).then_some(()));
}

#[test]
fn s38_what_a_caller_asked_for_before_he_went_is_done() {
    const GONE: usize = 20;
    let mut world = World::start();
    let (home, bob) = (world.user("alice"), world.user("bob"));
    let message = |key: usize, wait: &str| {
        json!({"profile": "", "to": "bob", "text": format!("no {key}"), "key": format!("gone-{key}"),
            "wait": wait, "timeout_ms": 3_600_000})
    };
    for key in 0..GONE {
        Caller::of(&home).says("message", message(key, "read"));
    }
    until("all of them arrived", || (bob.received().len() == GONE).then_some(()));
    let mut texts = bob.received();
    texts.sort_by_key(|text| text.len());
    assert_eq!(texts.first().map(String::as_str), Some("no 0"), "{texts:?}");
    until("nobody waits for those who went", || (callers(&home) == 1).then_some(()));
    // one who has said all and still reads is there
    bob.kill();
    let mut reads = Caller::of(&home);
    reads.says("message", message(GONE, "delivered"));
    reads.stream.shutdown(std::net::Shutdown::Write).expect("our socket");
    until("chatd has it", || (home.history().len() == GONE + 1).then_some(()));
    bob.up();
    assert_eq!(reads.hears()["state"], "delivered");
    until("he was let go", || (callers(&home) == 1).then_some(()));
}

#[test]
fn s40_files_that_are_not_what_they_seem_are_refused_whatever_the_umask() {
    let mut world = World::start();
    let home = world.bare("alice", "alice");
    let start = || {
        // the loosest umask that anybody could have set
        let mut run = Command::new("/bin/sh");
        run.args(["-c", "umask 0; exec \"$0\" \"$@\""])
            .arg(binary("chatd"))
            .arg("--foreground")
            .arg("--home")
            .arg(home.dir());
        run.env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        run.spawn().expect("chatd can be started")
    };
    let mut child = start();
    until("chatd serves", || (home.daemon_pid() == Some(child.id())).then_some(()));
    world.register(&home, &[]).ok();
    kill_child(&mut child);
    let mut files = Vec::new();
    gather(home.dir(), &mut files);
    assert!(files.len() > 4, "{files:?}");
    for file in &files {
        let mode = fs::metadata(file).expect("our file").permissions().mode() & 0o7777;
        assert_eq!(mode, 0o600, "{}", file.display());
    }
    // a second name elsewhere, a link, a FIFO in the place of each file that chatd reads
    for name in ["state/profiles.json", "state/known-servers.json", "state/chatd.lock", "data/default/chat.db"] {
        let (file, aside) = (home.dir().join(name), world.path("aside"));
        for wrong in ["hard link", "link", "fifo"] {
            fs::rename(&file, &aside).expect("our file");
            match wrong {
                "hard link" => fs::hard_link(&aside, &file).expect("one more name"),
                "link" => symlink(&aside, &file).expect("a link"),
                _ => assert!(Command::new("mkfifo").args(["-m", "600"]).arg(&file).status().expect("mkfifo").success()),
            }
            let mut child = start();
            // it ends, or serves: then it answers
            let ended = until("chatd ends or serves", || match child.try_wait().expect("our child") {
                Some(_) => Some(true),
                None => (home.run(&["--timeout", "5s", "daemon", "status"]).code == 0).then_some(false),
            });
            match ended {
                true => {
                    let output = Output::new(
                        format!("chatd with a {wrong} as {name}"),
                        &child.wait_with_output().expect("ended"),
                    );
                    assert_eq!(output.code, 77, "{output}");
                    assert!(output.stderr.contains("next: mv "), "{output}");
                }
                // a history concerns one profile alone: chatd serves the others, and says why this one is not there
                false => {
                    assert!(name.ends_with("chat.db"), "{name} as a {wrong} was taken");
                    let status = home.run(&["status"]);
                    assert_ne!(status.code, 0, "{name} as a {wrong}: {status}");
                    kill_child(&mut child);
                }
            }
            fs::remove_file(&file).expect("what was put there");
            fs::rename(&aside, &file).expect("our file");
        }
    }
    let mut child = start();
    until("chatd serves again", || (home.daemon_pid() == Some(child.id())).then_some(()));
    home.online();
    kill_child(&mut child);
}
