//! A real chatd, and an honest friend with whom it has a private session all the time: whatever is done to it, that one goes on.

use std::fs;
use std::sync::Arc;

use chat_tests::process::{until, within};
use chat_tests::{Home, World};

/// A world in which the server does not bound how often somebody asks: what is asked here must be borne by chatd.
pub fn world() -> World {
    World::with(&[("limits", "private_requests_per_minute", "0")])
}

/// Somebody to attack.
#[derive(Clone)]
pub struct Victim {
    /// The account.
    pub name: String,
    /// The chatd.
    pub home: Arc<Home>,
}

/// A victim and its friend.
pub struct Pair {
    /// Who is attacked.
    pub bob: Victim,
    /// With whom he has a session.
    pub alice: Victim,
}

impl Victim {
    /// A user of the world.
    pub fn new(world: &mut World, name: &str) -> Victim {
        Victim { name: name.into(), home: world.user(name) }
    }

    /// Waits until the request of this user is there.
    #[track_caller]
    pub fn is_asked_by(&self, from: &str) {
        until("the request came", || {
            let requests = self.home.json(&["requests"]).ok().column("peer");
            requests.iter().any(|peer| peer == from).then_some(())
        });
    }

    /// Takes the request of this user, once it is there, and does not wait for the session.
    #[track_caller]
    pub fn accepts(&self, from: &str) {
        self.is_asked_by(from);
        let mut run = self.home.command(&["accept", from]);
        run.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let mut child = run.spawn().expect("chatctl can be started");
        std::thread::spawn(move || child.wait());
    }

    /// Waits until the session with this user is in this state.
    #[track_caller]
    pub fn shows(&self, peer: &str, state: &str) {
        let mut last = None;
        let found = within(chat_tests::process::PATIENCE, || {
            last = self.state(peer);
            (last.as_deref() == Some(state)).then_some(())
        });
        assert!(found.is_some(), "{}'s session with {peer} is {last:?}, not {state}", self.name);
    }

    /// Waits until there is no session with this user.
    #[track_caller]
    pub fn has_none(&self, peer: &str) {
        until("the session is over", || self.state(peer).is_none().then_some(()));
    }

    /// The session's state, where there is one.
    pub fn state(&self, peer: &str) -> Option<String> {
        let sessions = self.home.json(&["sessions"]).ok().items();
        let session = sessions.into_iter().find(|session| session["peer"] == peer)?;
        session["state"].as_str().map(str::to_owned)
    }

    /// The texts of this user in the history, oldest first.
    pub fn texts_of(&self, peer: &str) -> Vec<String> {
        let items = self.home.history().into_iter().filter(|item| item["from"] == peer);
        items.filter_map(|item| item["text"].as_str().map(str::to_owned)).collect()
    }

    /// Resident memory of the chatd in KiB.
    pub fn memory(&self) -> u64 {
        let pid = self.home.daemon_pid().expect("chatd runs");
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("resident memory");
        line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
    }

    /// Ports of UDP sockets that the chatd has.
    pub fn udp_ports(&self) -> Vec<u16> {
        let pid = self.home.daemon_pid().expect("chatd runs");
        let sockets: Vec<String> = fs::read_dir(format!("/proc/{pid}/fd"))
            .expect("a process")
            .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
            .filter_map(|target| Some(target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
            .collect();
        let mut ports = Vec::new();
        for table in ["udp", "udp6"] {
            let text = fs::read_to_string(format!("/proc/{pid}/net/{table}")).expect("a table");
            for line in text.lines().skip(1) {
                let fields: Vec<&str> = line.split_whitespace().collect();
                if fields.get(9).is_some_and(|inode| sockets.iter().any(|own| own == inode)) {
                    let port = fields.get(1).and_then(|local| local.rsplit_once(':')).map(|(_, port)| port);
                    ports.extend(port.and_then(|port| u16::from_str_radix(port, 16).ok()));
                }
            }
        }
        ports
    }
}

impl Pair {
    /// Bob and alice, each with a chatd, in a private session.
    pub fn new(world: &mut World) -> Pair {
        let pair = Pair { bob: Victim::new(world, "bob"), alice: Victim::new(world, "alice") };
        pair.alice.home.run(&["startprivate", "bob"]).ok();
        pair.bob.accepts("alice");
        pair.bob.shows("alice", "open");
        pair.alice.shows("bob", "open");
        pair.goes_on("before");
        pair
    }

    /// Texts go both ways in the honest session, the server answers, and nothing of chatd is in the log that should not be.
    #[track_caller]
    pub fn goes_on(&self, word: &str) {
        self.alice.home.run(&["private", "bob", &format!("to bob {word}")]).ok();
        self.bob.home.run(&["private", "alice", &format!("to alice {word}")]).ok();
        self.alice.home.run(&["message", "bob", &format!("by the server {word}"), "--wait", "delivered"]).ok();
        let at_bob = self.bob.texts_of("alice");
        for text in [format!("to bob {word}"), format!("by the server {word}")] {
            assert!(at_bob.contains(&text), "{text}: {at_bob:?}");
        }
        assert!(self.alice.texts_of("bob").contains(&format!("to alice {word}")));
        assert_eq!(self.bob.home.link(), "online");
        // what it writes itself, and its own log, which it need not have
        let said = fs::read_to_string(self.bob.home.log()).expect("what chatd wrote");
        let log = fs::read_to_string(self.bob.home.dir().join("state/chatd.log")).unwrap_or_default();
        for text in [said, log] {
            assert!(!text.contains("panicked"), "{text}");
        }
    }
}
