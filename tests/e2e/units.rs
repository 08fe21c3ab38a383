//! The units that are shipped: what systemd says of them, a server whose port somebody else holds while it is started again, and a
//! short form of `tests/systemd/run`, which boots a systemd.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use chat_tests::World;
use chat_tests::needs;
use chat_tests::process::{self, binary, until};
use chat_tests::server::Server;
use rustix::process::Signal;
use tempfile::TempDir;

/// Exposure that the units may have, in tenths (`systemd-analyze security`).
const SERVER_EXPOSURE: &str = "11";
const USER_EXPOSURE: &str = "28";

fn shipped(unit: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/systemd").join(unit)
}

/// systemd-analyze, in a place where it finds what it asks for; nothing where it is not installed.
fn analyze(dir: &TempDir, args: &[&str]) -> Option<Output> {
    let mut command = Command::new("systemd-analyze");
    command.args(args).env("XDG_RUNTIME_DIR", dir.path());
    let output = command.output();
    needs::met(output.is_ok(), "systemd-analyze is not installed");
    output.ok()
}

/// The units as they are shipped, with the programs under test in place of the installed ones.
fn with_programs(dir: &TempDir, folder: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(shipped(folder)).expect("units are shipped") {
        let from = entry.expect("a folder can be read").path();
        if !from.extension().is_some_and(|end| ["service", "socket", "timer"].iter().any(|kind| end == *kind)) {
            continue;
        }
        let mut text = fs::read_to_string(&from).expect("a unit is text");
        for program in ["chat-server", "chatd"] {
            text = text.replace(&format!("/usr/bin/{program} "), &format!("{} ", binary(program).display()));
        }
        let to = dir.path().join(from.file_name().expect("a file has a name"));
        fs::write(&to, text).expect("a fresh file");
        paths.push(to.display().to_string());
    }
    paths
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    for (folder, manager, units) in [("", "--system", 6), ("user", "--user", 2)] {
        let dir = TempDir::new().expect("a fresh directory");
        let paths = with_programs(&dir, folder);
        assert!(paths.len() >= units, "{paths:?}");
        let mut args = vec!["verify", "--man=no", manager];
        args.extend(paths.iter().map(String::as_str));
        let Some(output) = analyze(&dir, &args) else { return };
        let said = String::from_utf8_lossy(&output.stderr);
        // it speaks of units of this machine too
        let of_ours: Vec<&str> = said.lines().filter(|line| line.contains("chat")).collect();
        assert!(output.status.success() && of_ours.is_empty(), "{said}");
    }
}

#[test]
fn services_are_exposed_as_little_as_is_promised() {
    let dir = TempDir::new().expect("a fresh directory");
    let within = |unit: &Path, tenths: &str| {
        let path = unit.display().to_string();
        let threshold = format!("--threshold={tenths}");
        analyze(&dir, &["security", "--offline=true", "--no-pager", &threshold, &path])
    };
    for (unit, tenths) in [
        ("chat-server.service", SERVER_EXPOSURE),
        ("chat-server-backup.service", SERVER_EXPOSURE),
        ("user/chatd.service", USER_EXPOSURE),
    ] {
        let Some(output) = within(&shipped(unit), tenths) else { return };
        assert!(output.status.success(), "{unit}: {}", String::from_utf8_lossy(&output.stdout));
    }
    // with its network it would be over it: what is looked at counts
    let text = fs::read_to_string(shipped("chat-server.service")).expect("it is shipped");
    let open = dir.path().join("open.service");
    let kept = text.lines().filter(|line| !line.starts_with("PrivateNetwork=") && !line.starts_with("RestrictAddress"));
    fs::write(&open, kept.collect::<Vec<_>>().join("\n")).expect("a fresh file");
    assert!(within(&open, SERVER_EXPOSURE).is_some_and(|output| !output.status.success()));
}

/// What a service manager does: the server gets a listener that is bound already.
fn handed(server: &Server, listener: &TcpListener) -> Child {
    let script = "exec 3<&0 </dev/null; export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=listen; exec \"$@\"";
    let port = OwnedFd::from(listener.try_clone().expect("a second handle"));
    let log = fs::File::options().create(true).append(true).open(server.log()).expect("a log file");
    let mut child = Command::new("sh")
        .args(["-c", script, "sh"])
        .arg(binary("chat-server"))
        .arg("--dir")
        .arg(server.dir())
        .arg("run")
        .stdin(Stdio::from(port))
        .stdout(log.try_clone().expect("a second handle"))
        .stderr(log)
        .spawn()
        .expect("sh can be run");
    until("the server listens", || match child.try_wait() {
        Ok(Some(status)) => panic!("ended at start: {status}\n{}", process::tail(&server.log(), 10)),
        _ => server.dir().join("run/listen").exists().then_some(()),
    });
    child
}

fn terminate(child: &mut Child) {
    process::signal(child.id(), Signal::TERM);
    until("the server ends", || child.try_wait().ok().flatten());
}

#[test]
fn a_port_that_is_held_refuses_nobody_while_the_server_is_started_again() {
    let mut world = World::start();
    let (alice, bob) = (world.user("alice"), world.user("bob"));
    world.server.stop();
    until("alice knows that it is gone", || (alice.link() != "online").then_some(()));
    let listener = TcpListener::bind(world.server.address()).expect("the port is free now");
    let mut first = handed(&world.server, &listener);
    alice.online();
    alice.sends("bob", "by a port that somebody else holds");
    let mut watch = bob.watch(&["--only", "presence,message"]);

    terminate(&mut first);
    let waits = TcpStream::connect(world.server.address());
    assert!(waits.is_ok(), "refused while nobody serves: {waits:?}");
    drop(waits);
    let mut second = handed(&world.server, &listener);
    alice.online();
    alice.sends("bob", "behind a restart");
    // what comes first is the message: nobody was announced as gone
    watch.expect("no notice", |event| {
        assert_ne!(event["type"], "presence", "{event}");
        event["type"] == "message"
    });

    // the configuration names another address, which is said wherever one would look
    world.server.ctl(&["status"]).ok().says("because the service manager listens elsewhere: listen");
    let checked = world.server.ctl(&["check", "net"]);
    let address = world.server.address();
    checked.says(&format!("does not count: the service manager listens on {address}"));
    world.server.ctl(&["stop"]).ok().says("unless: systemctl stop chat-server.socket");
    until("the server ends", || second.try_wait().ok().flatten());
}

#[test]
fn what_the_manager_hands_no_socket_for_is_not_served_in_silence() {
    let mut world = World::start();
    world.server.stop();
    let address = format!("\"127.0.0.1:{}\"", chat_tests::server::free_port());
    world.server.set(&[("private", "relay_listen", &address)]);
    let script = "exec 3<&0 </dev/null; export LISTEN_PID=$$ LISTEN_FDS=1; exec \"$@\"";
    let start = |name: &str, port: OwnedFd| {
        let mut run = Command::new("sh");
        run.args(["-c", script, "sh"]).arg(binary("chat-server")).arg("--dir").arg(world.server.dir()).arg("run");
        let output = run.env("LISTEN_FDNAMES", name).stdin(Stdio::from(port)).output().expect("sh can be run");
        assert_eq!(output.status.code(), Some(78), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let port = || OwnedFd::from(TcpListener::bind("127.0.0.1:0").expect("loopback has a free port"));
    let said = start("another", port());
    assert!(said.contains("a socket named \"another\": FileDescriptorName= must be"), "{said}");
    let said = start("listen", OwnedFd::from(fs::File::open("/dev/null").expect("it is there")));
    assert!(said.contains("(\"listen\") that is no listening socket"), "{said}");
    let said = start("listen", port());
    assert!(said.contains("private.relay_listen is set, but the service manager hands over no socket"), "{said}");
    assert!(said.contains("next: systemctl enable --now chat-server-relay.socket"), "{said}");
}

#[test]
fn a_real_systemd_starts_kills_and_starts_again() {
    let run = concat!(env!("CARGO_MANIFEST_DIR"), "/systemd/run");
    let programs = binary("chat-server");
    let output = Command::new(run)
        .args(["killed", "stopped_for_good"])
        .env("CHAT_BIN_DIR", programs.parent().expect("a file has a folder"))
        .output()
        .expect("a script can be run");
    let (told, complaints) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}\n{complaints}");
    let why = told.strip_prefix("passed over: ");
    if !needs::met(why.is_none(), why.unwrap_or_default().trim_end()) {
        return;
    }
    let well = told.lines().filter(|line| line.ends_with(": ok")).count();
    assert!(well == 6 && told.contains("ms after the kill"), "{told}");
}
