//! A running `chatctl watch --json`: its lines as they come, waited for by content.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::process::{PATIENCE, kill_child};
use crate::{Build, Home};

/// A follower of one home's events.
pub struct Watch {
    child: Child,
    lines: Receiver<Value>,
    seen: Vec<Value>,
    /// When it began to follow, as the events write times.
    since: String,
    build: Build,
}

impl Watch {
    /// Start it and wait until it follows: its first heartbeat comes only then.
    pub fn start(home: &Home, args: &[&str]) -> Watch {
        let mut all = vec!["--json", "watch", "--heartbeat", "100ms"];
        all.extend_from_slice(args);
        let mut child = home.command(&all).stdout(Stdio::piped()).spawn().expect("chatctl can be started");
        let stdout = child.stdout.take().expect("stdout is piped");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let value = serde_json::from_str(&line).unwrap_or(Value::String(line));
                if sender.send(value).is_err() {
                    break;
                }
            }
        });
        let mut watch = Watch { child, lines, seen: Vec::new(), since: String::new(), build: home.chatctl() };
        let beat = watch.expect("heartbeat", |event| event["type"] == "heartbeat");
        watch.since = beat["at"].as_str().unwrap_or_default().to_owned();
        watch
    }

    /// The next event for which `wanted` holds; what comes before it is kept in [`Watch::seen`].
    #[track_caller]
    pub fn expect(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        match self.next_within(PATIENCE, wanted) {
            Some(value) => value,
            None => panic!("watch showed no {what}; it showed {:#?}", self.seen),
        }
    }

    /// As [`Watch::expect`], with nothing when it does not come in time.
    pub fn next_within(&mut self, time: Duration, wanted: impl Fn(&Value) -> bool) -> Option<Value> {
        let end = Instant::now() + time;
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(value) => {
                    if self.build == Build::Tested {
                        crate::format::check("chatctl", &value);
                    }
                    if value["type"] != "heartbeat" {
                        self.seen.push(value.clone());
                    }
                    if wanted(&value) {
                        return Some(value);
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    /// Everything it showed up to the last event that was waited for.
    pub fn seen(&self) -> &[Value] {
        &self.seen
    }

    /// Who came or went since it follows, as far as it was looked at. A notice of an earlier moment may come late: changes of one tick
    /// are told together.
    pub fn comings_and_goings(&self) -> Vec<&Value> {
        let later = |event: &&Value| event["at"].as_str().is_some_and(|at| at >= self.since.as_str());
        self.seen.iter().filter(|event| event["type"] == "presence").filter(later).collect()
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Wait for its own end; its exit code, or a panic that says which signal ended it.
    #[track_caller]
    pub fn end(mut self) -> i32 {
        let status = self.child.wait().expect("our child");
        status.code().unwrap_or_else(|| panic!("watch was ended by a signal: {status}"))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        kill_child(&mut self.child);
    }
}
