//! One device of one person: a `CHAT_HOME` of its own, its chatd, and chatctl run in it.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;

use serde_json::Value;

use crate::process::{self, kill_child, kill_hard, listener_pid, until};
use crate::watch::Watch;
use crate::{Build, Output};

/// A home directory with a chatd in it.
pub struct Home {
    user: String,
    dir: PathBuf,
    chatd: Mutex<Option<Child>>,
    builds: Mutex<Builds>,
}

/// Whose programs run in a home.
#[derive(Clone, Default)]
struct Builds {
    chatd: Build,
    chatctl: Build,
}

impl Home {
    /// An empty home at `dir` for `user`; no daemon yet.
    pub fn new(user: &str, dir: PathBuf) -> Home {
        fs::create_dir_all(&dir).expect("a fresh directory");
        Home { user: user.to_owned(), dir, chatd: Mutex::new(None), builds: Mutex::default() }
    }

    /// chatd and chatctl are of these builds from their next start on.
    pub fn of(&self, chatd: &Build, chatctl: &Build) {
        *self.lock_builds() = Builds { chatd: chatd.clone(), chatctl: chatctl.clone() };
    }

    /// The build of chatctl.
    pub fn chatctl(&self) -> Build {
        self.lock_builds().chatctl.clone()
    }

    fn lock_builds(&self) -> std::sync::MutexGuard<'_, Builds> {
        self.builds.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The person.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// `CHAT_HOME`.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// chatd's control socket.
    pub fn socket(&self) -> PathBuf {
        self.dir.join("run/sock")
    }

    /// Where a chatd that the harness started writes.
    pub fn log(&self) -> PathBuf {
        self.dir.with_extension("log")
    }

    /// Start chatd in the foreground and wait until it takes connections.
    pub fn up(&self) {
        if let Err(status) = self.launch(&[]) {
            panic!("chatd ended at start: {status}\n{}", process::tail(&self.log(), 40));
        }
    }

    /// As [`Home::up`], run by another program (see [`process::wrapped`]) and allowed to end before it takes connections.
    pub fn launch(&self, wrap: &[String]) -> Result<(), ExitStatus> {
        let log = File::options().create(true).append(true).open(self.log()).expect("a log file");
        let mut inner = self.lock_builds().chatd.command("chatd");
        inner.arg("--foreground").arg("--home").arg(&self.dir);
        let mut child = process::wrapped(wrap, inner)
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("chatd can be started");
        let ended = until("chatd listens", || match child.try_wait() {
            Ok(Some(status)) => Some(Err(status)),
            _ => (listener_pid(&self.socket()) == Some(child.id())).then_some(Ok(())),
        });
        *self.slot() = ended.is_ok().then_some(child);
        ended
    }

    /// How chatd ended, once it has by itself or by something that a test did not do through here.
    pub fn ended(&self) -> Option<ExitStatus> {
        self.slot().as_mut().and_then(|child| child.try_wait().ok().flatten())
    }

    /// kill -9 chatd, whoever started it.
    pub fn kill(&self) {
        if let Some(mut child) = self.slot().take() {
            kill_child(&mut child);
        } else if let Some(pid) = self.daemon_pid() {
            kill_hard(pid);
        }
    }

    /// kill -9, then start again.
    pub fn restart(&self) {
        self.kill();
        self.up();
    }

    /// The chatd that serves this home now.
    pub fn daemon_pid(&self) -> Option<u32> {
        listener_pid(&self.socket())
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Child>> {
        self.chatd.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// chatctl with these arguments, in this home, never starting a daemon by itself.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut run = self.autostarting(&["--no-autostart"]);
        run.args(args);
        run
    }

    /// chatctl with these arguments, in this home, that may start a daemon.
    pub fn autostarting(&self, args: &[&str]) -> Command {
        let mut run = self.chatctl().command("chatctl");
        run.env("CHAT_HOME", &self.dir).env("HOME", &self.dir).args(args);
        run
    }

    /// Run chatctl to its end.
    pub fn run(&self, args: &[&str]) -> Output {
        self.finish(self.command(args), args)
    }

    /// Run chatctl to its end, with `--json`.
    pub fn json(&self, args: &[&str]) -> Output {
        let mut all = vec!["--json"];
        all.extend_from_slice(args);
        self.run(&all)
    }

    /// Run chatctl to its end with this on stdin.
    pub fn pipe(&self, args: &[&str], input: &[u8]) -> Output {
        let mut run = self.command(args);
        let mut child = run
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("chatctl can be started");
        let mut stdin = child.stdin.take().expect("stdin is piped");
        let input = input.to_vec();
        let writer = std::thread::spawn(move || {
            // chatctl may refuse before it has read everything
            let _ = stdin.write_all(&input);
        });
        let output = child.wait_with_output().expect("chatctl ends");
        let _ = writer.join();
        Output::by(&self.chatctl(), self.typed(args), &output)
    }

    /// Run a prepared chatctl to its end.
    pub fn finish(&self, mut run: Command, args: &[&str]) -> Output {
        let output = run.output().expect("chatctl can be run");
        Output::by(&self.chatctl(), self.typed(args), &output)
    }

    fn typed(&self, args: &[&str]) -> String {
        let words: String = args.join(" ").chars().take(300).collect();
        format!("CHAT_HOME={} chatctl {words}", self.dir.display())
    }

    /// Follow this home's events.
    pub fn watch(&self, args: &[&str]) -> Watch {
        Watch::start(self, args)
    }

    /// Wait until the session is open.
    #[track_caller]
    pub fn online(&self) {
        self.run(&["status", "--wait", "online", "--timeout", "30s"]).ok();
    }

    /// The link's state as `status` tells it.
    #[track_caller]
    pub fn link(&self) -> String {
        let status = self.json(&["status"]);
        status.json()["link"]["state"].as_str().unwrap_or_default().to_owned()
    }

    /// Everything in the history, oldest first, without marking anything.
    #[track_caller]
    pub fn history(&self) -> Vec<Value> {
        self.json(&["read", "--peek", "-n", "1000000"]).ok().items()
    }

    /// The texts that other people sent, oldest first; notices of the server itself are left out.
    #[track_caller]
    pub fn received(&self) -> Vec<String> {
        let items = self.history();
        let others = items.iter().filter(|item| item["kind"] != "system" && item["from"] != self.user.as_str());
        others.map(|item| item["text"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Wait until others' texts are exactly these.
    #[track_caller]
    pub fn gets(&self, texts: &[&str]) {
        let mut last = Vec::new();
        let found = process::within(process::PATIENCE, || {
            last = self.received();
            (last == texts).then_some(())
        });
        assert!(found.is_some(), "{} should have got {texts:?}, has {last:?}", self.user);
    }

    /// Send and wait for the verdict `accepted`.
    #[track_caller]
    pub fn sends(&self, to: &str, text: &str) -> Output {
        self.run(&["message", to, text]).ok()
    }

    /// Open a private session: this one asks, the other accepts, both have it. What accepting said.
    #[track_caller]
    pub fn joins(&self, asked: &Home) -> Output {
        let items = |home: &Home, verb: &str| home.json(&[verb]).ok().items();
        self.run(&["startprivate", asked.user()]).ok();
        until("the request is there", || {
            items(asked, "requests").iter().any(|request| request["peer"] == self.user()).then_some(())
        });
        let accepted = asked.run(&["accept", self.user(), "--timeout", "30s"]).ok();
        until("the asker's side is open", || {
            let is_open = |session: &Value| session["peer"] == asked.user() && session["state"] == "open";
            items(self, "sessions").iter().any(is_open).then_some(())
        });
        accepted
    }

    /// End this home's daemon.
    pub fn clear(&self) {
        self.kill();
        // one that chatctl started beside ours
        if let Some(pid) = self.daemon_pid() {
            kill_hard(pid);
        }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        self.clear();
    }
}
