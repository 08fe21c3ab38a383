//! `daemon install` and `uninstall`, with programs in the place of systemctl, loginctl and launchctl that write down how they were called. What
//! the units do is shown by a booted systemd (tests/systemd).

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use chat_tests::process::{binary, command, kill_hard, listener_pid};
use chat_tests::{Output, needs};

/// A person with a home, and a system of which the tests know what it was asked.
struct Desk {
    dir: tempfile::TempDir,
}

impl Desk {
    /// None where the system itself has a runtime directory for this user: a chatd would listen there.
    fn new() -> Option<Desk> {
        let uid = rustix::process::geteuid().as_raw();
        let free = !Path::new(&format!("/run/user/{uid}")).exists();
        if !needs::met(free, "this user has a runtime directory, which a test must not use") {
            return None;
        }
        let dir = tempfile::Builder::new().prefix("cu-").tempdir_in("/tmp").expect("/tmp can be written");
        let desk = Desk { dir };
        let units = "test ! -e \"$HOME/no-manager\" || exit 1; case $2 in is-enabled) { test -e \"$HOME/enabled\" || test -e \"$HOME/$3.global\"; } && echo enabled;; \
                     enable) >\"$HOME/enabled\";; disable) rm -f \"$HOME/enabled\";; esac";
        desk.script("systemctl", &format!("echo systemctl \"$@\" >>\"$HOME/calls\"; {units}"));
        let lingers = "case $1 in show-user) cat \"$HOME/linger\" 2>/dev/null || echo no;; enable-linger) echo yes >\"$HOME/linger\";; \
                       disable-linger) rm \"$HOME/linger\";; esac";
        desk.script("loginctl", &format!("echo loginctl \"$1\" >>\"$HOME/calls\"; {lingers}"));
        Some(desk)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A shell writes it, so that no other test's child holds it open for writing while it is run.
    fn script(&self, name: &str, text: &str) {
        let write = "mkdir -p bin && printf '#!/bin/sh\\n%s\\n' \"$2\" >\"bin/$1\" && chmod 755 \"bin/$1\"";
        let mut shell = Command::new("/bin/sh");
        shell.current_dir(self.dir.path()).args(["-c", write, "sh", name, text]);
        assert!(shell.status().expect("a shell").success());
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut run = command("chatctl");
        let path = std::env::var("PATH").unwrap_or_default();
        run.args(args).env("HOME", self.dir.path()).env("PATH", format!("{}:{path}", self.path("bin").display()));
        Output::new(format!("chatctl {}", args.join(" ")), &run.output().expect("chatctl can be run"))
    }

    /// What the system was asked since the last look.
    fn calls(&self) -> String {
        let calls = fs::read_to_string(self.path("calls")).unwrap_or_default();
        let _ = fs::remove_file(self.path("calls"));
        calls
    }

    /// The chatd that serves this person.
    fn pid(&self) -> Option<u32> {
        listener_pid(&self.path(".local/state/chat/run/sock"))
    }

    fn unit(&self, name: &str) -> PathBuf {
        self.path(".config/systemd/user").join(name)
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        if let Some(pid) = self.pid() {
            kill_hard(pid);
        }
    }
}

#[test]
fn chatd_becomes_a_unit_and_is_none_again() {
    let Some(desk) = Desk::new() else { return };
    // one that runs already makes way
    desk.run(&["daemon", "start"]).ok();
    desk.calls();
    desk.run(&["daemon", "install"]).ok().says("chatd is a unit of yours now").says("daemon install --linger");
    let calls = desk.calls();
    for call in ["systemctl --user daemon-reload", "systemctl --user enable --now chatd.socket chatd.service"] {
        assert!(calls.contains(call), "{call} is not among {calls}");
    }
    assert!(!calls.contains("enable-linger"), "nobody asked for that: {calls}");
    let service = fs::read_to_string(desk.unit("chatd.service")).expect("it was written");
    assert!(service.contains(&format!("ExecStart={} --foreground", binary("chatd").display())), "{service}");
    assert!(desk.unit("chatd.socket").exists());
    // again is harmless, and said
    let again = desk.run(&["daemon", "install", "--json"]).ok().json();
    assert_eq!((&again["unit"], &again["changed"]), (&true.into(), &false.into()), "{again}");
    desk.run(&["daemon", "install"]).ok().says("a unit of yours already");
    desk.calls();
    desk.run(&["daemon", "uninstall"]).ok().says("no unit any more");
    assert!(desk.calls().contains("systemctl --user disable --now chatd.socket chatd.service"));
    let left = fs::read_dir(desk.path(".config/systemd/user")).expect("a directory").count();
    assert_eq!(left, 0, "units are left behind");
    assert!(!desk.path("linger").exists());
    desk.run(&["daemon", "uninstall"]).ok().says("chatd was no unit");
    // a package has its socket listen for every user: that is not undone, and not denied
    fs::write(desk.path("chatd.socket.global"), "").expect("a file");
    desk.run(&["daemon", "install"]).ok().says("a unit of yours now");
    desk.run(&["daemon", "uninstall"]).ok().says("from your next login on").says("systemctl --user mask chatd.socket");
    assert_eq!(desk.run(&["daemon", "uninstall", "--json"]).ok().json()["unit"], true);
}

#[test]
fn lingering_is_asked_for_and_undone() {
    let Some(desk) = Desk::new() else { return };
    // nobody can be asked: the flag is named, and nothing was done
    desk.run(&["daemon", "install", "--linger"]).exits(12).says("--yes");
    assert!(!desk.unit("chatd.service").exists());
    desk.run(&["daemon", "install", "--linger", "--yes"]).ok().says("stays when you log out");
    assert!(desk.path("linger").exists());
    desk.run(&["daemon", "uninstall"]).ok();
    assert!(!desk.path("linger").exists(), "lingering was switched on for it alone");
    // lingering that was there before stays
    fs::write(desk.path("linger"), "yes\n").expect("a file");
    desk.run(&["daemon", "install", "--linger"]).ok();
    desk.run(&["daemon", "uninstall"]).ok();
    assert!(desk.path("linger").exists());
}

#[test]
fn nothing_of_others_is_touched_and_nothing_is_made_where_it_makes_no_sense() {
    let Some(desk) = Desk::new() else { return };
    fs::create_dir_all(desk.path(".config/systemd/user")).expect("a directory");
    fs::write(desk.unit("chatd.service"), "[Unit]\nDescription=mine\n").expect("a file");
    let refused = desk.run(&["daemon", "install"]).exits(7).says("not written by chatctl");
    assert!(refused.stderr.contains("next: mv "), "{refused}");
    assert!(fs::read_to_string(desk.unit("chatd.service")).expect("it is there").contains("mine"));
    desk.run(&["daemon", "uninstall"]).ok();
    assert!(desk.unit("chatd.service").exists());
    // a home of its own is no unit
    let home = desk.path("home").display().to_string();
    desk.run(&["--home", &home, "daemon", "install"]).exits(1).says("daemon start");
    // a system without a manager for this user
    fs::write(desk.path("no-manager"), "").expect("a file");
    desk.run(&["daemon", "install"]).exits(1).says("no service manager").says("daemon start");
    desk.run(&["--json", "daemon", "uninstall"]).fails_with("no_service_manager", 1);
    fs::set_permissions(desk.path("bin/systemctl"), fs::Permissions::from_mode(0o644)).expect("our file");
    desk.run(&["daemon", "install"]).exits(1);
}

/// launchd is asked where no systemd answers. Its program here keeps one agent, and starts it as launchd would.
#[test]
fn where_launchd_answers_chatd_becomes_an_agent() {
    let Some(desk) = Desk::new() else { return };
    fs::write(desk.path("no-manager"), "").expect("a file");
    let (session, agent) =
        (format!("gui/{}", rustix::process::geteuid().as_raw()), desk.path("Library/LaunchAgents/chatd.plist"));
    let program = "sed -n '/ProgramArguments/,/\\/array/s/.*<string>\\(.*\\/chatd\\)<.*/\\1/p' \"$3\"";
    let launchctl = [
        "echo launchctl \"$@\" >>\"$HOME/calls\"",
        "case $1-$2 in",
        "print-*/chatd) test -e \"$HOME/loaded\" ;;",
        "print-*) test -e \"$HOME/session\" ;;",
        "bootout-*) rm \"$HOME/loaded\" ;;",
        // the first try comes too early, as it does where another has just gone
        "bootstrap-*) test -e \"$HOME/late\" || { >\"$HOME/late\"; echo Bootstrap failed: 5 >&2; exit 5; }",
        &format!("  >\"$HOME/loaded\"; $({program}) ;;"),
        "esac",
    ];
    desk.script("launchctl", &launchctl.join("\n"));
    // nobody has a session there: the reason is systemd's
    desk.run(&["daemon", "install"]).exits(1).says("no service manager");
    fs::write(desk.path("session"), "").expect("a file");
    desk.run(&["daemon", "install", "--linger"]).exits(1).says("lets none linger").says("next: ");
    assert!(!agent.exists());
    desk.calls();
    desk.run(&["daemon", "install"]).ok().says("an agent of yours now").says("when you log out");
    let calls = desk.calls();
    let bootstrap = format!("launchctl bootstrap {session} {}", agent.display());
    assert_eq!(calls.matches(&bootstrap).count(), 2, "it is tried again: {calls}");
    let pid = desk.pid();
    assert!(pid.is_some(), "the agent was not started");
    let text = fs::read_to_string(&agent).expect("it was written");
    assert!(text.contains(&format!("<string>{}</string>", binary("chatd").display())), "{text}");
    assert!(text.contains(&format!("<string>{}</string>", desk.path("Library/Logs/chatd.log").display())), "{text}");
    let again = desk.run(&["daemon", "install", "--json"]).ok().json();
    assert_eq!((&again["changed"], &again["lingers"]), (&false.into(), &false.into()), "{again}");
    assert_ne!(desk.pid(), pid, "it was not started anew");
    desk.calls();
    desk.run(&["daemon", "uninstall"]).ok().says("no unit any more");
    assert!(desk.calls().contains(&format!("launchctl bootout {session}/chatd")));
    assert!(!agent.exists());
    desk.run(&["daemon", "uninstall"]).ok().says("chatd was no unit");
    // what somebody else wrote stays
    fs::write(&agent, "<plist/>").expect("a file");
    desk.run(&["daemon", "install"]).exits(7).says("not written by chatctl");
    desk.run(&["daemon", "uninstall"]).ok();
    assert!(agent.exists());
}
