//! Hostile surroundings: each gives a clear text with the next step, none a raw error of the system or a panic (the harness looks at
//! every output), for all three programs. What needs root says so and passes where there is none.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use chat_tests::process::{binary, command, until};
use chat_tests::shell::Seated;
use chat_tests::{Home, Output, World, needs};

/// A uid that the user database does not know.
const NOBODY_KNOWN: u32 = 54_321;
/// Descriptors of a process that has few.
const FEW: &str = "--nofile=64:64";

/// A place that everybody may enter, with the programs in it.
struct Stage {
    dir: tempfile::TempDir,
}

impl Stage {
    fn new() -> Stage {
        let dir = tempfile::Builder::new().prefix("ce-").tempdir_in("/tmp").expect("/tmp can be written");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("our directory");
        Stage { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The program where everybody can run it.
    fn program(&self, name: &str) -> PathBuf {
        let bin = self.path("bin");
        fs::create_dir_all(&bin).expect("a directory");
        let copy = bin.join(name);
        if !copy.exists() {
            // by another program: a file that this process has open for writing could not be run meanwhile
            let copied = Command::new("cp").arg(binary(name)).arg(&copy).status();
            assert!(copied.expect("cp").success());
            fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).expect("our file");
        }
        copy
    }

    /// The program run by a user whom nobody knows, with nothing in the environment.
    fn stranger(&self, name: &str, args: &[&str]) -> Command {
        let mut run = Command::new(self.program(name));
        run.args(args).env_clear().env("PATH", self.path("bin")).current_dir(self.dir.path());
        run.uid(NOBODY_KNOWN).gid(NOBODY_KNOWN).stdin(Stdio::null());
        run
    }

    /// A directory of that user.
    fn his(&self, name: &str) -> PathBuf {
        let dir = self.path(name);
        fs::create_dir(&dir).expect("a fresh directory");
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).expect("our directory");
        std::os::unix::fs::chown(&dir, Some(NOBODY_KNOWN), Some(NOBODY_KNOWN)).expect("root may give away");
        dir
    }
}

#[track_caller]
fn ended(mut run: Command) -> Output {
    let typed = format!("{run:?}");
    Output::new(typed, &run.output().expect("the program can be run"))
}

/// It failed with this code, in words and with a next step.
#[track_caller]
fn refused(output: Output, code: i32, part: &str) -> Output {
    assert!(output.stderr.contains("next: "), "no next step: {output}");
    output.exits(code).says(part)
}

#[test]
fn without_a_home_the_way_out_is_said() {
    if !needs::root("a user without a home") {
        return;
    }
    let stage = Stage::new();
    refused(ended(stage.stranger("chatctl", &["status"])), 14, "HOME");
    refused(ended(stage.stranger("chatd", &["--foreground"])), 78, "HOME");
    // the server's files do not depend on it
    ended(stage.stranger("chat-server", &["--dir", "/nowhere/at/all", "status"])).never_says("HOME");
    // what needs no files works
    ended(stage.stranger("chatctl", &["help", "exit-codes"])).ok();
    ended(stage.stranger("chatctl", &["--version"])).ok();
    ended(stage.stranger("chatd", &["--keys"])).ok();
}

#[test]
fn a_home_that_cannot_be_written_is_named() {
    if !needs::root("a home of somebody else") {
        return;
    }
    let stage = Stage::new();
    let home = stage.path("read-only");
    fs::create_dir(&home).expect("a fresh directory");
    let with = |name: &str, args: &[&str]| {
        let mut run = stage.stranger(name, args);
        stage.program("chatd");
        run.env("HOME", &home);
        ended(run)
    };
    let named = home.display().to_string();
    refused(with("chatctl", &["status"]), 14, &named).says("may not be made");
    refused(with("chatd", &["--foreground"]), 73, &named);
    refused(with("chatd", &[]), 73, &named);
    with("chatctl", &["doctor"]).exits(1).says(&named).says("CHAT_HOME");
    // the way out that is named
    let his = stage.his("his").display().to_string();
    with("chatctl", &["--home", &his, "profile", "list"]).ok();
    with("chatctl", &["--home", &his, "daemon", "stop"]).ok();
    // the server's directory
    let dir = home.join("server").display().to_string();
    with("chat-server", &["--dir", &dir, "init", "--self-signed"]).exits(77).says("server");
}

#[test]
fn relative_places_are_heeded_or_passed_over() {
    let mut world = World::start();
    let home = world.bare("alice", "alice");
    let look = |variables: &[(&str, &str)]| {
        let mut run = command("chatctl");
        run.current_dir(home.dir()).args(["--plain", "config", "path"]).env("HOME", home.dir());
        run.envs(variables.iter().copied());
        ended(run).ok().stdout
    };
    let usual = look(&[]);
    let base = home.dir().display().to_string();
    assert!(usual.contains(&format!("config\t{base}/.config/chat/config.toml")), "{usual}");
    // XDG: a path that is not absolute does not count, and doctor says so
    assert_eq!(look(&[("XDG_CONFIG_HOME", "here"), ("XDG_DATA_HOME", "./here"), ("XDG_STATE_HOME", "")]), usual);
    let mut run = home.command(&["doctor"]);
    run.env("XDG_DATA_HOME", "here");
    ended(run).ok().says("WARN environment: XDG_DATA_HOME");
    // a relative home means the one below where one stands
    assert!(look(&[("CHAT_HOME", "mine")]).contains(&format!("state\t{base}/mine/state")));
    assert!(look(&[("HOME", ".")]).contains(&format!("state\t{base}/.local/state/chat")));
}

#[test]
fn a_variable_set_to_nothing_counts_as_not_set() {
    const EMPTY: [&str; 9] = [
        "CHAT_HOME",
        "CHAT_SOCKET",
        "CHAT_PROFILE",
        "CHAT_ACCESSIBLE",
        "CREDENTIALS_DIRECTORY",
        "NOTIFY_SOCKET",
        "XDG_CONFIG_HOME",
        "XDG_DATA_HOME",
        "XDG_STATE_HOME",
    ];
    let mut world = World::start();
    let home = world.bare("alice", "alice");
    let look = |program: &str, args: &[&str], empty: bool| {
        let mut run = command(program);
        run.args(args).current_dir(home.dir()).env("HOME", home.dir()).env("PATH", "/nowhere");
        run.envs(EMPTY.iter().filter(|_| empty).map(|name| (name, "")));
        ended(run).ok().stdout
    };
    for (program, args) in [
        ("chatctl", &["config", "path"][..]),
        ("chatctl", &["config", "list"]),
        ("chatctl", &["message", "--help"]),
        ("chatd", &["--check"]),
        ("chatd", &["--help"]),
        ("chat-server", &["--help"]),
    ] {
        assert_eq!(look(program, args, true), look(program, args, false), "{program} {args:?}");
    }
    // what was typed still needs its value
    let mut run = command("chatctl");
    run.args(["--home", "", "status"]).env("HOME", home.dir());
    ended(run).exits(2);
    // a chatd begins, and the next command finds it
    let place = home.dir().display().to_string();
    let begin = |args: &[&str]| {
        let mut run = command("chatctl");
        run.args(["--home", &place]).args(args).env("HOME", home.dir()).envs(EMPTY.map(|name| (name, "")));
        ended(run)
    };
    begin(&["daemon", "start"]).ok();
    begin(&["daemon", "status"]).ok();
    home.run(&["daemon", "stop"]).ok();
}

#[test]
fn a_plain_terminal_gets_plain_text() {
    let mut world = World::start();
    let home = world.user("alice");
    for variables in [&[("TERM", "dumb")][..], &[("TERM", "xterm"), ("NO_COLOR", "1")]] {
        for args in [&["inbox"][..], &["status"], &["whoelse"], &["message"], &["doctor"], &["message", "nobody", "x"]]
        {
            let mut seat = Seated::run(&home, args, variables);
            seat.ended();
            let raw = seat.raw();
            assert!(!raw.is_empty() || args == ["whoelse"], "{args:?} said nothing");
            assert!(!raw.contains('\u{1b}'), "{args:?} with {variables:?}: {raw:?}");
        }
    }
}

#[test]
fn a_locale_without_letters_loses_none() {
    let mut world = World::start();
    let (alice, bob) = (world.user("alice"), world.user("bob"));
    let text = "gr\u{fc}\u{df}e \u{1f600}, \u{65e5}\u{672c}";
    for locale in ["C", "POSIX", "de_DE.ISO-8859-1", "nonsense"] {
        let mut run = alice.command(&["message", "bob", text, "--wait", "delivered"]);
        run.env("LC_ALL", locale).env("LANG", locale);
        ended(run).ok();
        let mut run = bob.command(&["read", "--unread"]);
        run.env("LC_ALL", locale).env("LANG", locale);
        ended(run).ok().says(text);
    }
    // bytes that are no text are refused, not guessed
    refused(alice.pipe(&["message", "bob", "-"], b"\xff\xfe"), 15, "UTF-8");
}

/// Runs a line of shell with the programs in its path.
fn shell(line: &str, home: &Path) -> Output {
    let mut run = Command::new("/bin/sh");
    let bin = binary("chatctl").parent().expect("a folder").to_path_buf();
    run.args(["-c", line]).env_clear().env("PATH", format!("{}:/usr/bin:/bin", bin.display()));
    run.env("CHAT_HOME", home).env("HOME", home).env("RUST_BACKTRACE", "1");
    ended(run)
}

#[test]
fn closed_and_full_outputs_are_no_panic() {
    let mut world = World::start();
    let (alice, _bob) = (world.user("alice"), world.user("bob"));
    let server = world.server.dir().display().to_string();
    let lines = [
        ("chatctl status", 14),
        ("chatctl --json inbox", 14),
        ("chatctl schema", 14),
        ("chatctl completions bash", 14),
        ("chatctl doctor", 14),
        ("chatd --keys", 74),
        ("chatd --check", 74),
        (&format!("chat-server --dir {server} status"), 14),
        (&format!("chat-server --dir {server} config show"), 14),
    ];
    for (line, code) in lines {
        let full = shell(&format!("{line} >/dev/full"), alice.dir());
        full.exits(code).says("No space left");
        // the system gives /dev/null to a program that was started without
        shell(&format!("{line} >&-"), alice.dir()).ok();
        shell(&format!("{line} <&- >/dev/null 2>&-"), alice.dir()).ok();
    }
    // an error that nobody can hear still has its code
    for line in ["chatctl message", "chatctl --json block nobody-of-that-name", "chatd --config /nowhere --check"] {
        let heard = shell(line, alice.dir()).code;
        assert_ne!(heard, 0);
        for deaf in ["2>/dev/full", "2>&-", ">/dev/full 2>/dev/full"] {
            assert_eq!(shell(&format!("{line} {deaf}"), alice.dir()).code, heard, "{line} {deaf}");
        }
    }
    // a text is read from stdin where there is none: an empty one is refused
    shell("chatctl message bob <&-", alice.dir()).exits(15);
    shell("chatctl message bob hi <&-", alice.dir()).ok();
}

#[test]
fn a_configuration_that_cannot_be_read_is_named() {
    let mut world = World::start();
    let home = world.bare("alice", "alice");
    let file = home.dir().join("config/config.toml");
    // a directory in its place
    fs::create_dir_all(&file).expect("a fresh directory");
    let start = |args: &[&str]| home.finish(home.autostarting(args), args);
    refused(start(&["status"]), 3, "config.toml").says("directory");
    refused(home.run(&["config", "check"]), 14, "directory");
    // a loop of links
    fs::remove_dir(&file).expect("our directory");
    symlink(&file, &file).expect("a link");
    refused(start(&["status"]), 3, "config.toml");
    // the server's
    let made = Command::new(binary("chat-server"))
        .arg("--dir")
        .arg(world.path("other"))
        .args(["init", "--self-signed"])
        .output();
    assert!(made.expect("chat-server can be run").status.success());
    let own = world.path("other/chat-server.toml");
    fs::remove_file(&own).expect("init wrote it");
    fs::create_dir(&own).expect("a fresh directory");
    let mut run = command("chat-server");
    run.arg("--dir").arg(world.path("other")).arg("run");
    refused(ended(run), 78, "chat-server.toml").says("directory");
}

#[test]
fn a_configuration_of_somebody_else_is_not_taken_for_none() {
    if !needs::root("files of somebody else") {
        return;
    }
    let stage = Stage::new();
    let his = stage.his("his");
    let config = his.join("config");
    fs::create_dir(&config).expect("a fresh directory");
    fs::write(config.join("config.toml"), "").expect("a fresh file");
    for closed in [config.join("config.toml"), config.clone()] {
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o600)).expect("our file");
        let mut run = stage.stranger("chatd", &["--foreground"]);
        run.env("CHAT_HOME", &his);
        refused(ended(run), 78, "config.toml");
    }
}

#[test]
fn a_state_directory_of_somebody_else_is_refused() {
    if !needs::root("a directory of somebody else") {
        return;
    }
    let mut world = World::start();
    let home = world.bare("alice", "alice");
    let state = home.dir().join("state");
    fs::create_dir(&state).expect("a fresh directory");
    fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).expect("our directory");
    std::os::unix::fs::chown(&state, Some(NOBODY_KNOWN), None).expect("root may give away");
    let mut run = command("chatd");
    run.arg("--foreground").arg("--home").arg(home.dir());
    refused(ended(run), 77, "must belong to you").says("chown");
    let start = &["profile", "list"];
    refused(home.finish(home.autostarting(start), start), 3, "must belong to you");
}

#[test]
fn a_path_that_no_socket_can_have_is_said() {
    let mut world = World::start();
    let home = Home::new("alice", world.path(&format!("{}/{}", "x".repeat(60), "y".repeat(60))));
    let start = |args: &[&str]| home.finish(home.autostarting(args), args);
    refused(start(&["status"]), 3, "107").says("--socket");
    let mut run = command("chatd");
    run.arg("--foreground").arg("--home").arg(home.dir());
    refused(ended(run), 78, "107");
    // the way out that is named
    let run_dir = world.path("r");
    fs::create_dir(&run_dir).expect("a fresh directory");
    fs::set_permissions(&run_dir, fs::Permissions::from_mode(0o700)).expect("our directory");
    let socket = run_dir.join("sock").display().to_string();
    start(&["--socket", &socket, "profile", "list"]).ok();
    start(&["--socket", &socket, "daemon", "stop"]).ok();
    world.server.kill();
    // the server's admin socket
    let dir = world.path(&"z".repeat(110)).display().to_string();
    let mut run = command("chat-server");
    run.args(["--dir", &dir, "init", "--self-signed"]);
    ended(run).ok();
    let mut run = command("chat-server");
    run.args(["--dir", &dir, "run", "--listen", "127.0.0.1:0"]);
    ended(run).exits(73).says("107").says("admin.socket");
    let mut run = command("chat-server");
    run.args(["--dir", &dir, "status"]);
    refused(ended(run), 3, "not running");
}

#[test]
fn a_missing_daemon_is_said() {
    let stage = Stage::new();
    let chatctl = stage.program("chatctl");
    let mut run = Command::new(&chatctl);
    run.arg("status").env_clear().env("PATH", "/nowhere").env("CHAT_HOME", stage.path("home")).stdin(Stdio::null());
    refused(ended(run), 3, "no program chatd");
    let mut run = Command::new(&chatctl);
    run.arg("doctor").env_clear().env("PATH", "/nowhere").env("CHAT_HOME", stage.path("home")).stdin(Stdio::null());
    ended(run).exits(1).says("FAIL daemon");
}

#[test]
fn a_full_disk_is_said_and_room_mends_it() {
    if !needs::root("mounting a small disk") {
        return;
    }
    let mut world = World::start();
    let home = world.bare("alice", "alice");
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "size=64k,mode=700", "tmpfs"]).arg(home.dir());
    if !needs::met(needs::works(&mut mount), "this system mounts no tmpfs") {
        return;
    }
    let fill = || {
        let mut ballast = File::create(home.dir().join("ballast")).expect("one more file");
        while std::io::Write::write_all(&mut ballast, &[0; 4096]).is_ok() {}
    };
    fill();
    let start = &["profile", "list"];
    let output = home.finish(home.autostarting(start), start);
    let said = std::panic::catch_unwind(|| {
        assert!([3, 14].contains(&output.code), "{output}");
        assert!(
            output.stderr.contains("No space") || output.stderr.contains("no space") || output.stderr.contains("full"),
            "{output}"
        );
        home.run(&["doctor"]).exits(1).says("FAIL disk").says("df -h");
        fs::remove_file(home.dir().join("ballast")).expect("our file");
        Command::new("mount").args(["-o", "remount,size=64m"]).arg(home.dir()).status().expect("mount");
        home.finish(home.autostarting(start), start).ok();
    });
    home.clear();
    let _ = Command::new("umount").arg("-l").arg(home.dir()).status();
    said.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

#[test]
fn sixty_four_descriptors_are_enough_or_said() {
    let mut world = World::start();
    let few = ["prlimit".to_owned(), FEW.to_owned()];
    let home = world.bare("alice", "alice");
    home.launch(&few).expect("chatd serves with few descriptors");
    world.register(&home, &[]).ok();
    let bob = world.user("bob");
    home.sends("bob", "with few");
    bob.gets(&["with few"]);
    // more callers than there are descriptors wait their turn; chatd goes on
    let crowd: Vec<_> = (0..80)
        .map(|_| home.command(&["status"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("chatctl"))
        .collect();
    let mut served = 0;
    for child in crowd {
        let output = Output::new("chatctl status".into(), &child.wait_with_output().expect("chatctl ends"));
        // on a slow machine one may wait longer than it has time
        assert!([0, 9].contains(&output.code), "{output}");
        served += usize::from(output.code == 0);
    }
    assert!(served > 0, "nobody was served");
    home.run(&["status"]).ok();
    assert!(home.ended().is_none(), "chatd lives");
    // fewer than it needs: said before anything is opened
    for (program, args) in [("chatd", &["--foreground", "--home", "x"][..]), ("chat-server", &["--dir", "x", "run"])] {
        let mut run = Command::new("prlimit");
        run.arg("--nofile=12:12").arg(binary(program)).args(args).env_clear().current_dir(home.dir());
        refused(ended(run), 71, "only 12 files").says("ulimit -n");
    }
    let mut run = Command::new("prlimit");
    run.arg("--nofile=5:5").arg(binary("chatctl")).args(["status"]).env_clear().env("CHAT_HOME", home.dir());
    refused(ended(run), 14, "Too many open files");
    // chatctl itself
    let mut run = Command::new("prlimit");
    run.arg("--nofile=16:16")
        .arg(binary("chatctl"))
        .args(["--no-autostart", "status"])
        .env_clear()
        .env("CHAT_HOME", home.dir());
    ended(run).ok();
    // the server keeps some for itself, serves with what is left, which is one at a time, and says so
    bob.kill();
    world.server.kill();
    world.server.launch(&few).expect("the server serves with few descriptors");
    until("the log says so", || {
        let log = fs::read_to_string(world.server.log()).ok()?;
        log.contains("more than the open files that the system allows").then_some(())
    });
    let check = world.server.ctl(&["status"]);
    assert_ne!(check.code, 70, "{check}");
    home.online();
    home.sends("bob", "through few");
    home.kill();
    bob.up();
    bob.gets(&["with few", "through few"]);
}

#[test]
fn without_proc_everything_works() {
    if !needs::root("a namespace without /proc") {
        return;
    }
    let mut world = World::start();
    let home = world.bare("alice", "alice");
    // the sandbox's runner is found through /proc: without both, chatd still serves
    fs::create_dir_all(home.dir().join("config")).expect("a fresh directory");
    fs::write(home.dir().join("config/config.toml"), "sandbox = \"off\"\n").expect("a fresh file");
    let bare = |line: &str| {
        let mut run = Command::new("unshare");
        let line = format!("mount -t tmpfs none /proc 2>/dev/null || exit 99; exec {line}");
        run.args(["--mount", "/bin/sh", "-c", &line]).env_clear();
        let bin = binary("chatctl").parent().expect("a folder").display().to_string();
        run.env("PATH", format!("{bin}:/usr/sbin:/usr/bin:/sbin:/bin"));
        run.env("CHAT_HOME", home.dir()).stdin(Stdio::null());
        ended(run)
    };
    let (chatctl, chatd, server) = (binary("chatctl"), binary("chatd"), binary("chat-server"));
    let first = bare(&format!("{} profile list", chatctl.display()));
    if !needs::met(first.code != 99, "this system gives no namespace of mounts") {
        return;
    }
    first.ok();
    until("chatd serves", || home.daemon_pid());
    bare(&format!("{} doctor", chatctl.display())).ok();
    bare(&format!("{} --check", chatd.display())).ok();
    bare(&format!("{} --dir {} check", server.display(), world.server.dir().display()));
}

/// What makes a program see another time, where it is installed.
fn faketime() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path());
    folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1")).find(|file| file.exists())
}

#[test]
fn ten_years_off_are_named_as_a_clock() {
    let library = faketime();
    needs::met(library.is_some(), "libfaketime is not installed");
    let Some(library) = library else { return };
    let at = |offset: &str| {
        let preload = format!("LD_PRELOAD={}", library.display());
        ["env".to_owned(), preload, format!("FAKETIME={offset}"), "FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned()]
    };
    let mut world = World::start();
    let home = world.bare("alice", "alice");
    home.launch(&at("+3650d")).expect("chatd serves whatever the time");
    world.register(&home, &[]).ok();
    let bob = world.user("bob");
    home.sends("bob", "from the future");
    bob.gets(&["from the future"]);
    home.run(&["doctor"]).exits(1).says("days ahead of the server's").says("timedatectl set-ntp true");
    home.kill();
    home.launch(&at("-3650d")).expect("chatd serves whatever the time");
    home.online();
    bob.sends("alice", "from the present");
    home.gets(&["from the present"]);
    home.run(&["doctor"]).exits(1).says("FAIL clock").says("behind the server's");
}
