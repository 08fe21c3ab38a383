//! A town: a server and its people with everything that can lie on a disk, made by an earlier build's programs, and what those told of
//! it before they were stopped. Used by every test here.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use chat_tests::checker::{Sent, Verdict};
use chat_tests::process::until;
use chat_tests::server::Server;
use chat_tests::{Build, Home, Output, World};
use serde_json::{Map, Value, json};

/// Homes and their people. `alice2` is a second device.
pub const HOMES: [(&str, &str); 6] =
    [("alice", "alice"), ("alice2", "alice"), ("bob", "bob"), ("carol", "carol"), ("dave", "dave"), ("eve", "eve")];

/// The database of a home, below it.
pub const HISTORY: &str = "data/default/chat.db";
/// The database of the server, below it.
pub const STORE: &str = "data/chat-server.db";

/// The forms of the two databases: which features their builds had follows from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forms {
    /// Of the histories.
    pub history: i64,
    /// Of the server's store.
    pub store: i64,
}

impl Forms {
    pub fn cursors(self) -> bool {
        self.history >= 2
    }

    pub fn hooks(self) -> bool {
        self.history >= 3
    }

    pub fn cancels(self) -> bool {
        self.history >= 6
    }

    pub fn sessions(self) -> bool {
        self.history >= 7
    }

    pub fn files(self) -> bool {
        self.history >= 8
    }

    pub fn invitations(self) -> bool {
        self.store >= 4
    }

    pub fn locks(self) -> bool {
        self.store >= 5
    }
}

/// The world, its people, and what is known of it.
pub struct Town {
    pub world: World,
    homes: BTreeMap<String, Arc<Home>>,
    pub forms: Forms,
    /// Everything that was sent and has an order, with the verdict that its sender was told.
    pub sent: Vec<Sent>,
    /// Texts that wait at their sender for the server: they must go out.
    pub queued: usize,
    /// What each home showed while its server was away.
    pub told: Map<String, Value>,
    /// An invitation that nobody used yet.
    pub invitation: Option<String>,
}

impl Town {
    /// Made by this build, and stopped: the server by a kill, the daemons half by kills, half as they are asked to.
    pub fn made(build: &Build) -> Town {
        Town::filled(build, 0)
    }

    /// As [`Town::made`], with so many broadcasts more in bob's history.
    pub fn filled(build: &Build, filling: usize) -> Town {
        let world = World::of(build);
        let forms = Forms { history: 0, store: 0 };
        let (homes, sent, told) = (BTreeMap::new(), Vec::new(), Map::new());
        let mut town = Town { world, homes, forms, sent, queued: 0, told, invitation: None };
        for (name, user) in HOMES {
            let home = town.world.bare(user, name);
            home.of(build, build);
            home.up();
            let entered = if name == user { town.world.register(&home, &[]) } else { town.world.login(&home) };
            entered.ok();
            town.homes.insert(name.to_owned(), home);
        }
        town.forms = forms_of(town.world.server.dir(), town.home("alice").dir());
        town.talk();
        town.settings();
        if town.forms.sessions() {
            town.talk_privately();
        }
        town.leave_work();
        if filling > 0 {
            town.fill("bob", filling);
        }
        town.told = town.tell();
        town.stop();
        town
    }

    /// One that was made before and lies in the directory of `world`.
    pub fn found(world: World, known: &Value) -> Town {
        let number = |value: &Value| value.as_i64().expect("a number");
        let forms = Forms { history: number(&known["history"]), store: number(&known["store"]) };
        let told = known["told"].as_object().expect("an object").clone();
        let sent = known["sent"].as_array().expect("a list").iter().map(sent_of).collect();
        let queued = usize::try_from(number(&known["queued"])).expect("a count");
        let invitation = known["invitation"].as_str().map(str::to_owned);
        let mut town = Town { world, homes: BTreeMap::new(), forms, sent, queued, told, invitation };
        for (name, user) in HOMES {
            let home = town.world.bare(user, name);
            town.homes.insert(name.to_owned(), home);
        }
        town
    }

    /// What [`Town::found`] needs to know.
    pub fn known(&self) -> Value {
        json!({
            "history": self.forms.history,
            "store": self.forms.store,
            "port": self.world.server.address().port(),
            "dir": self.world.path("").display().to_string().trim_end_matches('/'),
            "queued": self.queued,
            "invitation": self.invitation,
            "sent": self.sent.iter().map(|one| json!([one.device, one.from, one.to, one.text, word(one.verdict)])).collect::<Value>(),
            "told": self.told,
        })
    }

    /// A home.
    pub fn home(&self, name: &str) -> Arc<Home> {
        Arc::clone(&self.homes[name])
    }

    /// All homes with their names.
    pub fn homes(&self) -> impl Iterator<Item = (&str, &Home)> {
        self.homes.iter().map(|(name, home)| (name.as_str(), &**home))
    }

    /// All programs of the town are of this build from their next start on.
    pub fn of(&mut self, build: &Build) {
        self.world.server.of(build);
        for (_, home) in self.homes() {
            home.of(build, build);
        }
    }

    /// One text from a home to a user, and what became of it.
    pub fn say(&mut self, from: &str, to: &str, text: &str) -> Output {
        let home = self.home(from);
        let output = home.json(&["message", "--timeout", "10s", to, text]);
        let verdict = match output.code {
            0 => Verdict::Accepted,
            5 => Verdict::Pending,
            7 => Verdict::Rejected,
            _ => panic!("{output}"),
        };
        self.sent.push(Sent {
            device: from.to_owned(),
            from: home.user().to_owned(),
            to: to.to_owned(),
            text: text.to_owned(),
            verdict,
        });
        self.queued += usize::from(verdict == Verdict::Pending);
        output
    }

    fn accepted(&mut self, from: &str, to: &str, texts: &[&str]) {
        for text in texts {
            self.say(from, to, text).ok();
        }
    }

    /// Messages of every kind that reach their readers, read marks, a block.
    fn talk(&mut self) {
        let long = format!("long: {}", "0123456789 ".repeat(200));
        self.accepted(
            "alice",
            "bob",
            &["one", "two  blanks\nand a line", "three: h\u{fc}tte \u{65e5}\u{672c} \u{1f600}", &long],
        );
        self.accepted("bob", "alice", &["yes", "no"]);
        self.accepted("dave", "alice", &["dave here"]);
        self.home("alice").run(&["broadcast", "hello all"]).ok();
        let bob = self.home("bob");
        until("bob has them", || (bob.history().len() >= 7).then_some(()));
        bob.run(&["read", "alice"]).ok();
        self.accepted("alice", "bob", &["unread one", "unread two"]);
        bob.run(&["block", "dave"]).ok();
        self.say("dave", "bob", "refused").exits(7);
    }

    /// Cursors, hooks, an invitation, a locked account.
    fn settings(&mut self) {
        let bob = self.home("bob");
        if self.forms.cursors() {
            drop(bob.watch(&["--cursor", "triage"]));
            self.accepted("alice", "bob", &["for the cursor 1", "for the cursor 2", "for the cursor 3"]);
            bob.run(&[
                "watch",
                "--only",
                "message",
                "--cursor",
                "triage",
                "--auto-ack",
                "--count",
                "1",
                "--for",
                "30s",
            ])
            .ok();
        }
        if self.forms.hooks() {
            let page = self.script("page", &format!("echo \"$CHAT_ID\" >> {}", self.world.path("paged").display()));
            let fails = self.script("fails", "exit 3");
            let hook = |name: &str, run: &str| {
                format!("[[hook]]\nname = \"{name}\"\non = \"message\"\nrun = [\"{run}\"]\nretries = 0\n")
            };
            let file = bob.dir().join("config/config.toml");
            fs::create_dir_all(file.parent().expect("a folder")).expect("our folder");
            fs::write(file, hook("page", &page) + &hook("fails", &fails)).expect("our file");
            bob.restart();
            bob.online();
            self.accepted("alice", "bob", &["for the hook 1", "for the hook 2"]);
            until("the hooks ran", || (self.paged().len() == 2).then_some(()));
            until("and failed", || (bob.json(&["hooks", "letters"]).ok().items().len() == 2).then_some(()));
        }
        if self.forms.invitations() {
            let made = self.world.server.ctl(&["--json", "invite", "create"]).ok();
            self.invitation = made.json()["code"].as_str().map(str::to_owned);
            assert!(self.invitation.is_some(), "{made}");
        }
        if self.forms.locks() {
            self.world.server.ctl(&["user", "lock", "eve"]).ok();
        }
    }

    fn script(&self, name: &str, body: &str) -> String {
        let path = self.world.path(name);
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).expect("a file in the world's directory");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("our file");
        path.display().to_string()
    }

    /// The ids for which bob's hook ran.
    pub fn paged(&self) -> Vec<String> {
        let text = fs::read_to_string(self.world.path("paged")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// A private session with texts both ways and a file, and its end.
    fn talk_privately(&mut self) {
        let (alice, bob) = (self.home("alice"), self.home("bob"));
        alice.joins(&bob);
        alice.run(&["private", "bob", "a secret"]).ok();
        bob.run(&["private", "alice", "another"]).ok();
        if self.forms.files() {
            hand_over(&self.world, &alice, &bob, "report.txt");
        }
        alice.run(&["stopprivate", "bob"]).ok();
        until("both have ended", || {
            let none = |home: &Home| home.json(&["sessions"]).ok().items().is_empty();
            (none(&alice) && none(&bob)).then_some(())
        });
    }

    /// What waits: for people who are away on the server, and for the server on hosts.
    fn leave_work(&mut self) {
        self.home("carol").run(&["logout"]).ok();
        self.accepted("alice", "carol", &["waits for carol 1", "waits for carol 2"]);
        self.accepted("bob", "carol", &["waits for carol 3"]);
        self.accepted("dave", "carol", &["waits for carol 4"]);
        self.home("alice2").kill();
        self.accepted("bob", "alice", &["the second device was away"]);
        self.accepted("alice", "dave", &["sent while it was away"]);
        until("dave has it", || {
            self.home("dave").received().iter().any(|text| text == "sent while it was away").then_some(())
        });
        until("alice has it", || {
            self.home("alice").received().iter().any(|text| text == "the second device was away").then_some(())
        });
        // what its owner took is told to the others before the end
        self.world.server.kill();
        until("the link is down", || (self.home("alice").link() != "online").then_some(()));
        until("the link is down", || (self.home("dave").link() != "online").then_some(()));
        let late = [("alice", "bob", 3), ("alice", "carol", 1), ("dave", "alice", 2)];
        for (from, to, count) in late {
            for number in 1..=count {
                self.say(from, to, &format!("queued by {from} for {to} {number}")).exits(5);
            }
        }
        if self.forms.cancels() {
            let kept = self.say("alice", "dave", "taken back").exits(5);
            let id = kept.error()["id"].as_str().expect("an id").to_owned();
            self.home("alice").run(&["outbox", "cancel", &id]).ok();
            self.sent.last_mut().expect("just sent").verdict = Verdict::Rejected;
            self.queued -= 1;
        }
        self.home("alice2").up();
    }

    /// Copies of a broadcast in a history, as if they had been received.
    fn fill(&self, name: &str, count: usize) {
        let home = self.home(name);
        home.kill();
        let open = rusqlite::Connection::open(home.dir().join(HISTORY)).expect("a history");
        let columns = "kind, own, sender, recipient, peer, device, inc, content_type, at_ms, state";
        let filled = open.execute(
            &format!(
                "INSERT INTO message (rid, cseq, body, {columns}) \
                 WITH RECURSIVE more(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM more WHERE x < ?1) \
                 SELECT lower(hex(randomblob(16))), cseq, CAST('filling ' || x AS BLOB), {columns} FROM message, more \
                 WHERE CAST(body AS TEXT) = 'hello all' AND idx = (SELECT max(idx) FROM message WHERE CAST(body AS TEXT) = 'hello all')"
            ),
            [i64::try_from(count).expect("a count")],
        );
        assert_eq!(filled.expect("filled"), count);
        open.execute_batch(
            "UPDATE conversation SET last = (SELECT max(idx) FROM message WHERE message.peer = conversation.peer)",
        )
        .expect("the newest");
        if self.forms.hooks() {
            // they are no news for hooks
            open.execute_batch("UPDATE hook SET cursor = (SELECT max(idx) FROM message)").expect("passed");
        }
        drop(open);
        home.up();
    }

    /// What every home shows of itself, by the build that it has now.
    pub fn tell(&self) -> Map<String, Value> {
        if self.forms.hooks() {
            let bob = self.home("bob");
            until("bob's hooks have nothing to do", || {
                bob.json(&["hooks", "list"]).ok().items().iter().all(|hook| hook["waiting"] == 0).then_some(())
            });
        }
        self.homes().map(|(name, home)| (name.to_owned(), facts(home, self.forms))).collect()
    }

    fn stop(&mut self) {
        for (number, (_, home)) in self.homes().enumerate() {
            if number % 2 == 0 {
                home.kill();
            } else {
                home.run(&["daemon", "stop"]).ok();
                home.kill();
            }
        }
        self.world.server.stop();
    }
}

/// What a home shows without its server, that no upgrade may change.
pub fn facts(home: &Home, forms: Forms) -> Value {
    let items = |args: &[&str]| Value::Array(home.json(args).ok().items());
    let status = home.json(&["status"]).ok().json();
    let mut told = json!({
        "account": status["account"],
        "unread": home.json(&["unread"]).ok().json(),
        "queued": status["queued"],
        "history": items(&["read", "--peek", "-n", "1000000"]),
        "inbox": items(&["inbox"]),
        "outbox": items(&["outbox"]),
        "trust": items(&["trust", "list"]),
    });
    let mut more = |name: &str, value: Value| told[name] = value;
    if forms.cursors() {
        more("cursors", items(&["cursor", "list"]));
    }
    if forms.hooks() {
        more("hooks", items(&["hooks", "list"]));
        more("letters", items(&["hooks", "letters"]));
    }
    if forms.files() {
        more("files", items(&["file", "list"]));
    }
    told
}

/// A file from one to the other, within their session; it must arrive whole.
pub fn hand_over(world: &World, from: &Home, to: &Home, name: &str) {
    let content = format!("{name} of {}\n", from.user()).repeat(1000);
    let path = world.file(name, content.as_bytes());
    from.run(&["file", "send", to.user(), &path]).ok();
    let offered = |file: &Value| file["name"] == name && file["state"] == "offered";
    let listed = || to.json(&["file", "list"]).ok().items();
    let offer = until("the offer is there", || listed().into_iter().find(offered));
    let taken = world.path(&format!("{name}.taken"));
    let id = offer["id"].as_str().expect("an id");
    to.run(&["file", "accept", id, "-o", &taken.display().to_string(), "--timeout", "30s"]).ok();
    assert_eq!(fs::read_to_string(&taken).expect("the file came"), content);
    until("the sender knows", || {
        from.json(&["file", "list"])
            .ok()
            .items()
            .iter()
            .any(|file| file["name"] == name && file["state"] == "done")
            .then_some(())
    });
}

/// The forms of a server's store and of a home's history.
pub fn forms_of(server: &Path, home: &Path) -> Forms {
    let ask = |file: &Path, sql: &str| -> i64 {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        let opened = rusqlite::Connection::open_with_flags(file, flags).expect("a database");
        opened.query_row(sql, [], |row| row.get(0)).expect("its form")
    };
    Forms {
        history: ask(&home.join(HISTORY), "SELECT max(version) FROM refinery_schema_history"),
        store: ask(&server.join(STORE), "PRAGMA user_version"),
    }
}

/// A world around what lies in `from`, which is copied there as `copy` does it.
pub fn world_around(port: u16, copy: impl FnOnce(&Path)) -> World {
    World::around(|server| {
        copy(server.parent().expect("the world's directory"));
        Server::found(server, port)
    })
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Accepted => "accepted",
        Verdict::Rejected => "rejected",
        Verdict::Pending => "pending",
    }
}

fn sent_of(value: &Value) -> Sent {
    let text = |index: usize| value[index].as_str().expect("a text").to_owned();
    let verdict = match value[4].as_str() {
        Some("accepted") => Verdict::Accepted,
        Some("rejected") => Verdict::Rejected,
        _ => Verdict::Pending,
    };
    Sent { device: text(0), from: text(1), to: text(2), text: text(3), verdict }
}
