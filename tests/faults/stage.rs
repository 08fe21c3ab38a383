//! Two people on a server and the scripted talk between them, while one of the programs meets a fault. Used by every programme.

use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chat_tests::checker::{Sent, Verdict, check};
use chat_tests::process::pause;
use chat_tests::traffic::{history, settle};
use chat_tests::{Home, Output, World};

/// A verdict must come within this: a restart, a reconnect and a second restart, on a busy machine.
const VERDICT_WITHIN: Duration = Duration::from_secs(90);

/// Which program meets the fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Victim {
    /// chat-server.
    Server,
    /// Alice's chatd: she sends and receives.
    Chatd,
}

/// The world and what was sent in it so far.
pub struct Stage {
    pub world: World,
    pub alice: Arc<Home>,
    pub bob: Arc<Home>,
    log: Vec<Sent>,
}

impl Stage {
    pub fn new(settings: &[(&str, &str, &str)]) -> Stage {
        let mut world = World::with(settings);
        let (alice, bob) = (world.user("alice"), world.user("bob"));
        Stage { world, alice, bob, log: Vec::new() }
    }

    /// The victim's directory and log.
    pub fn log_of(&self, victim: Victim) -> String {
        let path = match victim {
            Victim::Server => self.world.server.log(),
            Victim::Chatd => self.alice.log(),
        };
        std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    pub fn kill(&mut self, victim: Victim) {
        match victim {
            Victim::Server => self.world.server.kill(),
            Victim::Chatd => self.alice.kill(),
        }
    }

    pub fn launch(&mut self, victim: Victim, wrap: &[String]) -> Result<(), ExitStatus> {
        match victim {
            Victim::Server => self.world.server.launch(wrap),
            Victim::Chatd => self.alice.launch(wrap),
        }
    }

    pub fn up(&mut self, victim: Victim) {
        match victim {
            Victim::Server => self.world.server.up(),
            Victim::Chatd => self.alice.up(),
        }
    }

    fn ended(&mut self, victim: Victim) -> Option<ExitStatus> {
        match victim {
            Victim::Server => self.world.server.ended(),
            Victim::Chatd => self.alice.ended(),
        }
    }

    /// `count` messages to and fro; `meanwhile` is called again and again until all have a verdict.
    pub fn talk(&mut self, count: usize, mut meanwhile: impl FnMut(&mut Stage)) {
        let (alice, bob) = (Arc::clone(&self.alice), Arc::clone(&self.bob));
        let first = self.log.len();
        let script = std::thread::spawn(move || {
            let turn = |number: usize| {
                let (from, to) = if number.is_multiple_of(2) { (&alice, &bob) } else { (&bob, &alice) };
                say(from, to.user(), first + number)
            };
            (0..count).map(turn).collect::<Vec<Sent>>()
        });
        while !script.is_finished() {
            meanwhile(self);
            pause(Duration::from_millis(3));
        }
        self.log.extend(script.join().expect("every message got a verdict that the fault explains"));
    }

    /// One message from Alice to Bob, decided; its text.
    pub fn one_from_alice(&mut self) -> String {
        let sent = say(&self.alice, "bob", self.log.len());
        let text = sent.text.clone();
        self.log.push(sent);
        text
    }

    /// The victim runs under `wrap` while they talk; when it ends, it is started again as usual. How it ended, if it did.
    pub fn under(&mut self, victim: Victim, wrap: &[String], count: usize) -> Option<ExitStatus> {
        self.kill(victim);
        let mut end = self.launch(victim, wrap).err();
        if end.is_some() {
            self.up(victim);
        }
        self.talk(count, |stage| {
            if end.is_none() {
                end = stage.ended(victim);
                if end.is_some() {
                    stage.up(victim);
                }
            }
        });
        if end.is_none() {
            self.kill(victim);
            self.up(victim);
        }
        end
    }

    /// Every promise of the contract about all that was said so far.
    #[track_caller]
    pub fn check(&self, when: &str) {
        let broken = self.broken();
        assert!(broken.is_empty(), "{when}: {broken}");
    }

    /// What was broken, in words; empty when the contract held.
    pub fn broken(&self) -> String {
        let homes = [("alice", &*self.alice), ("bob", &*self.bob)];
        settle(&self.log, &homes);
        let found = check(&self.log, &homes.map(|(device, home)| history(home, device)));
        if found.is_empty() { String::new() } else { format!("{found:#?}") }
    }

    /// Neither daemon ever panicked.
    #[track_caller]
    pub fn no_panic(&self) {
        for victim in [Victim::Server, Victim::Chatd] {
            let log = self.log_of(victim);
            let at = log.find("panicked at");
            assert!(at.is_none(), "{victim:?}: {}", &log[at.unwrap_or(0)..].chars().take(1500).collect::<String>());
        }
    }
}

/// Send one text until there is a verdict.
pub fn say(from: &Home, to: &str, number: usize) -> Sent {
    let (text, key) = (format!("{} to {to} number {number}", from.user()), format!("{}-{number}", from.user()));
    let end = Instant::now() + VERDICT_WITHIN;
    let verdict = loop {
        let output = from.json(&["message", "--id", &key, "--timeout", "5s", to, &text]);
        match told(&output) {
            Verdict::Pending if Instant::now() < end => pause(Duration::from_millis(20)),
            Verdict::Pending => panic!("no verdict within {VERDICT_WITHIN:?}, last: {output}"),
            verdict => break verdict,
        }
    };
    Sent { device: from.user().into(), from: from.user().into(), to: to.into(), text, verdict }
}

/// What one try told the sender. That a disk is full (14), that nobody is there (3, 5) or that time ran out (9) leaves it open.
fn told(output: &Output) -> Verdict {
    match output.code {
        0 => Verdict::Accepted,
        7 => Verdict::Rejected,
        -1 | 3 | 5 | 9 | 14 => Verdict::Pending,
        _ => panic!("a sender was told something that no fault explains: {output}"),
    }
}
