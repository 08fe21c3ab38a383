//! Senders who never give up: each sends numbered texts one after the other by chatctl, with an id, until it has a verdict.
//!
//! What they were told becomes the checker's log. Used by the kill tests and the fault program.

use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::checker::{History, Item, Sent, Verdict};
use crate::process::{self, pause};
use crate::{Home, Output};

/// A verdict must come within this after the last fault; a sender that waits longer fails the test.
const VERDICT_WITHIN: Duration = Duration::from_secs(120);

/// Shared by the senders of a run and the one who kills.
#[derive(Default)]
pub struct Traffic {
    stop: AtomicBool,
    accepted: AtomicU64,
    // process ids of the chatctl that run now: victims
    running: Mutex<Vec<u32>>,
}

impl Traffic {
    /// Let the senders finish the message they are at.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    /// Messages accepted so far.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::SeqCst)
    }

    /// chatctl processes of senders that run now.
    pub fn chatctls(&self) -> Vec<u32> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Send numbered texts from `home` to `to` until stopped; what the sender was told.
    pub fn send(self: &Arc<Self>, home: &Home, device: &str, to: &str) -> Vec<Sent> {
        let mut log = Vec::new();
        for number in 0u64.. {
            if self.stop.load(Ordering::SeqCst) {
                break;
            }
            let text = format!("{device} to {to} number {number}");
            let verdict = self.resolve(home, to, &text, &format!("{device}-{to}-{number}"));
            if verdict == Verdict::Accepted {
                self.accepted.fetch_add(1, Ordering::SeqCst);
            }
            let (device, from, to) = (device.to_owned(), home.user().to_owned(), to.to_owned());
            log.push(Sent { device, from, to, text, verdict });
        }
        log
    }

    /// Send one text, again and again with the same id, until there is a verdict.
    fn resolve(&self, home: &Home, to: &str, text: &str, key: &str) -> Verdict {
        let end = Instant::now() + VERDICT_WITHIN;
        loop {
            let output = self.attempt(home, &["--json", "message", "--id", key, "--timeout", "5s", to, text]);
            match verdict(&output) {
                Some(Verdict::Pending) | None if Instant::now() < end => pause(Duration::from_millis(20)),
                Some(verdict @ (Verdict::Accepted | Verdict::Rejected)) => return verdict,
                _ => panic!("no verdict within {VERDICT_WITHIN:?}, last: {output}"),
            }
        }
    }

    /// One chatctl, listed as a victim while it runs.
    fn attempt(&self, home: &Home, args: &[&str]) -> Output {
        let child =
            home.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("chatctl can be started");
        let pid = child.id();
        let list = || self.running.lock().unwrap_or_else(PoisonError::into_inner);
        list().push(pid);
        let output = child.wait_with_output().expect("chatctl ends");
        list().retain(|&other| other != pid);
        Output::new(format!("chatctl {}", args.join(" ")), &output)
    }
}

/// What the sender knows after one try: nothing when chatctl was killed or chatd was away.
fn verdict(output: &Output) -> Option<Verdict> {
    let value: Value = serde_json::from_str(output.stdout.trim()).unwrap_or(Value::Null);
    match (output.code, value["state"].as_str()) {
        (0, Some("accepted" | "delivered" | "read")) => Some(Verdict::Accepted),
        (7, _) => Some(Verdict::Rejected),
        // the outcome is open: chatctl killed, chatd away, server away, out of time
        (-1 | 3 | 5 | 9, _) => Some(Verdict::Pending),
        _ => panic!("a sender was told something that no fault explains: {output}"),
    }
}

/// A device's history in the checker's form, without notices of the server itself.
pub fn history(home: &Home, device: &str) -> History {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let items = home
        .history()
        .iter()
        .filter(|item| item["kind"] != "system")
        .map(|item| Item { id: text(&item["id"]), from: text(&item["from"]), text: text(&item["text"]) })
        .collect();
    History { account: home.user().to_owned(), device: device.to_owned(), items }
}

/// Wait until every device of the recipients shows the last accepted text of every sender: then all before it came too.
pub fn settle(log: &[Sent], homes: &[(&str, &Home)]) {
    let mut last: std::collections::BTreeMap<(&str, &str), &str> = std::collections::BTreeMap::new();
    for one in log.iter().filter(|one| one.verdict == Verdict::Accepted) {
        last.insert((&one.device, &one.to), &one.text);
    }
    for (device, home) in homes {
        for ((from, to), text) in &last {
            let own = log.iter().any(|one| one.text == **text && one.from == home.user());
            if *to == home.user() || (own && from != device) {
                process::until(&format!("{device} has {text:?}"), || {
                    home.history().iter().any(|item| item["text"] == **text).then_some(())
                });
            }
        }
    }
}
