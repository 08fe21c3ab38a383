//! A fake chatd in this process: answers JSON lines as a test says, and notes what it was asked. And chatctl, run against it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};

use chat_local::Connection;
use chat_local::paths::Surroundings;
use serde_json::{Value, json};
use tempfile::TempDir;

/// What the fake says to a call.
pub enum Answer {
    /// A result.
    Ok(Value),
    /// A result, then events, then it hangs up.
    Events(Value, Vec<Value>),
    /// A result, then events; then it goes on listening.
    Stream(Value, Vec<Value>),
    /// A result, then events as they come, until nobody sends any more.
    Live(Value, std::sync::mpsc::Receiver<Value>),
    /// `data` of an error.
    Refuse(Value),
    /// Nothing: it hangs up.
    HangUp,
    /// Nothing at all.
    Silence,
}

type Script = dyn Fn(&str, &Value) -> Answer + Send + Sync;
type Calls = Arc<Mutex<Vec<(String, Value)>>>;
/// What a script's assertion said: it fails on a task of the fake, where no test would hear of it.
type Complaint = Arc<Mutex<Option<String>>>;

/// A home directory, with or without a daemon in it.
pub struct Home {
    dir: TempDir,
    calls: Calls,
    complaint: Complaint,
}

impl Drop for Home {
    fn drop(&mut self) {
        let complaint = self.complaint.lock().expect("no test panics with it").take();
        if let Some(complaint) = complaint.filter(|_| !std::thread::panicking()) {
            panic!("the script failed: {complaint}");
        }
    }
}

/// How a chatctl ended.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Home {
    /// No daemon.
    pub fn empty() -> Home {
        Home {
            dir: tempfile::tempdir().expect("a directory to play in"),
            calls: Calls::default(),
            complaint: Complaint::default(),
        }
    }

    /// A daemon that answers as `script` says; hello and the list of profiles answer themselves.
    pub fn with(script: impl Fn(&str, &Value) -> Answer + Send + Sync + 'static) -> Home {
        let home = Home::empty();
        // The socket's place is where chatctl looks; the lock's is not, as a fake is not stopped.
        let (socket, locked) = (home.socket(), home.dir.path().join("fake"));
        let (calls, complaint, script) = (home.calls.clone(), home.complaint.clone(), Arc::new(script));
        let (listens, listening) = mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let listener = chat_local::bind(&socket, &locked).expect("a socket");
                listens.send(()).expect("somebody waits");
                while let Ok(connection) = listener.accept().await {
                    let (calls, complaint, script) = (calls.clone(), complaint.clone(), script.clone());
                    tokio::spawn(async move { serve(connection, &*script, &calls, &complaint).await });
                }
            });
        });
        listening.recv().expect("it listens");
        home
    }

    /// Where chatctl looks for the daemon of this home.
    pub fn socket(&self) -> PathBuf {
        let layout = Surroundings::of_process(Some(self.dir.path().to_owned())).layout();
        layout.expect("a home").sockets.remove(0)
    }

    /// A daemon that answers one method, always the same.
    pub fn answering(method: &'static str, result: Value) -> Home {
        Home::with(move |asked, _| {
            assert_eq!(asked, method);
            Answer::Ok(result.clone())
        })
    }

    /// A daemon that refuses everything with this error data.
    pub fn refusing(data: Value) -> Home {
        Home::with(move |_, _| Answer::Refuse(data.clone()))
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A file with this content.
    pub fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, content).expect("a file");
        path
    }

    /// What the daemon was asked, save hello and profile_list.
    pub fn calls(&self) -> Vec<(String, Value)> {
        self.calls.lock().expect("no test panics with it").clone()
    }

    /// Waits until the daemon was asked for `method`.
    pub fn until_asked(&self, method: &str) {
        let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while !self.calls().iter().any(|(name, _)| name == method) {
            assert!(std::time::Instant::now() < end, "{method} was never asked");
            std::thread::yield_now();
        }
    }

    /// The parameters of the only call of this method.
    pub fn call(&self, method: &str) -> Value {
        let mut found: Vec<_> = self.calls().into_iter().filter(|(name, _)| name == method).collect();
        assert_eq!(found.len(), 1, "{method}: {found:?}");
        found.remove(0).1
    }

    /// How often this method was called.
    pub fn call_count(&self, method: &str) -> usize {
        self.calls().iter().filter(|(name, _)| name == method).count()
    }

    /// chatctl in this home, never starting a daemon.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chatctl"));
        command.env_clear().env("CHAT_HOME", self.dir.path()).env("TZ", "UTC").env("LANG", "C");
        // No program of Windows runs without it.
        command.envs(std::env::var_os("SystemRoot").map(|root| ("SystemRoot", root)));
        command.arg("--no-autostart").args(args).stdin(Stdio::null());
        command
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        Ran::of(self.command(args).output().expect("chatctl runs"))
    }

    /// With something on stdin.
    pub fn pipe(&self, args: &[&str], input: &[u8]) -> Ran {
        let mut command = self.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("chatctl runs");
        let mut stdin = child.stdin.take().expect("stdin is piped");
        let input = input.to_vec();
        // It may end before it has read everything.
        let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let ran = Ran::of(child.wait_with_output().expect("chatctl ends"));
        writer.join().expect("written");
        ran
    }
}

impl Ran {
    pub fn of(output: std::process::Output) -> Ran {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("chatctl prints UTF-8");
        Ran { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Must be this exit, with exactly these words on stdout.
    #[track_caller]
    pub fn is(self, code: i32, out: &str) -> Ran {
        assert_eq!((self.code, self.out.as_str()), (code, out), "stderr: {}", self.err);
        self
    }

    /// Must have these words on stderr.
    #[track_caller]
    pub fn complains(self, code: i32, err: &str) -> Ran {
        assert_eq!((self.code, self.err.as_str()), (code, err), "stdout: {}", self.out);
        self
    }

    /// The error object on stderr.
    #[track_caller]
    pub fn error(&self) -> Value {
        let value: Value = serde_json::from_str(&self.err).unwrap_or_else(|_| panic!("{self:?}"));
        assert_eq!((&value["v"], &value["type"], &value["exit"]), (&json!(1), &json!("error"), &json!(self.code)));
        value
    }

    /// The object on stdout.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("{self:?}"))
    }
}

async fn serve(mut connection: Connection, script: &Script, calls: &Calls, complaint: &Complaint) {
    while let Ok(Some(line)) = connection.recv_line().await {
        let request: Value = serde_json::from_str(&line).expect("chatctl sends JSON");
        let method = request["method"].as_str().expect("a method").to_owned();
        let answer = match method.as_str() {
            "hello" => hello(script, &request["params"]),
            "profile_list" => profiles(script, &request["params"]),
            _ => {
                calls.lock().expect("no test panics with it").push((method.clone(), request["params"].clone()));
                match guarded(script, &method, &request["params"]) {
                    Ok(answer) => answer,
                    Err(why) => {
                        complaint.lock().expect("no test panics with it").get_or_insert(format!("{method}: {why}"));
                        Answer::HangUp
                    }
                }
            }
        };
        if !say(&mut connection, &request["id"], answer).await {
            return;
        }
    }
}

/// What the script answers, or what its assertion says.
fn guarded(script: &Script, method: &str, params: &Value) -> Result<Answer, String> {
    let answer = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| script(method, params)));
    answer.map_err(|panic| {
        let said = panic.downcast_ref::<String>().cloned();
        said.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
    })
}

/// A script may answer hello itself: by refusing it, or as another build.
fn hello(script: &Script, params: &Value) -> Answer {
    match guarded(script, "hello", params) {
        Ok(Answer::Refuse(data)) if data["code"] == "version_mismatch" => Answer::Refuse(data),
        Ok(Answer::Ok(result)) if result["build"].is_string() => Answer::Ok(result),
        _ => Answer::Ok(json!({"version": 1, "build": "0.1.0", "pid": 42})),
    }
}

fn profiles(script: &Script, params: &Value) -> Answer {
    match guarded(script, "profile_list", params) {
        Ok(Answer::Ok(result)) if is_profiles(&result) => Answer::Ok(result),
        _ => Answer::Ok(json!({"items": [profile("work", true)]})),
    }
}

fn is_profiles(result: &Value) -> bool {
    result["items"].as_array().is_some_and(|items| items.iter().all(|item| item["default"].is_boolean()))
}

/// Says the answer; false when it hangs up afterwards.
async fn say(to: &mut Connection, id: &Value, answer: Answer) -> bool {
    match answer {
        Answer::Ok(result) => to.send(&json!({"jsonrpc": "2.0", "id": id, "result": result})).await.is_ok(),
        Answer::Refuse(data) => {
            let error = json!({"code": -32000, "message": "refused", "data": data});
            to.send(&json!({"jsonrpc": "2.0", "id": id, "error": error})).await.is_ok()
        }
        Answer::Events(result, events) => {
            tell(to, id, result, events.into_iter()).await;
            false
        }
        Answer::Stream(result, events) => tell(to, id, result, events.into_iter()).await,
        Answer::Live(result, events) => tell(to, id, result, events.into_iter()).await,
        Answer::Silence => true,
        Answer::HangUp => false,
    }
}

/// A result and the events behind it, for which it may have to wait.
async fn tell(to: &mut Connection, id: &Value, result: Value, mut events: impl Iterator<Item = Value>) -> bool {
    let mut told = to.send(&json!({"jsonrpc": "2.0", "id": id, "result": result})).await.is_ok();
    while told && let Some(event) = tokio::task::block_in_place(|| events.next()) {
        told = to.send(&json!({"jsonrpc": "2.0", "method": "event", "params": event})).await.is_ok();
    }
    told
}

/// 2026-11-22T14:02:11.120Z.
pub const AT: i64 = 1_795_356_131_120;

pub fn profile(name: &str, default: bool) -> Value {
    json!({"name": name, "user": "alice", "server": "chat.example.org", "default": default, "link": "online"})
}

pub fn message(index: u64, from: &str, text: &str) -> Value {
    json!({"index": index, "id": format!("00000000000000m{index}"), "from": from, "to": "alice", "kind": "direct",
        "text": text, "content_type": "text/plain", "at_ms": AT, "state": "delivered", "own": false})
}

pub fn sent(state: &str) -> Value {
    json!({"id": "01k9zt000000m7k2", "key": "k1", "to": "bob", "state": state, "at_ms": AT,
        "recipient_online": false, "duplicate": false, "audience": 0, "missed": false})
}

pub fn account() -> Value {
    json!({"user": "alice", "server": "chat.example.org", "device": "laptop", "state": "online",
        "unread": 3, "unread_people": 2})
}

#[test]
#[should_panic(expected = "the script failed: status: ")]
fn what_a_script_asserts_fails_the_test() {
    let home = Home::answering("unread", json!({"total": 0, "people": [], "requests": 0}));
    home.run(&["status"]);
}
