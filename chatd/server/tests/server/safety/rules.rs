//! Random sequences through real sessions, TLS and gateway included, beside the reference of the model test: fewer than there, where
//! the store and the accounts are driven without them.

use std::collections::BTreeMap;

use chat_proto::frame::Frame;
use chat_proto::id::Position;
use chat_proto::{method, wire};
use prost::Message as _;

use crate::client::{Client, Device, at};
use crate::world::{PASSWORD, World};

#[expect(dead_code, reason = "the model test uses the rest")]
#[path = "../../../src/model/reference.rs"]
mod reference;

use reference::{Answer, Dev, NAMES, Others, PEOPLE, Reference, Rules};

const SEQUENCES: u64 = 20;
const STEPS: usize = 60;

/// A device: its key, its stream, what it holds, and its session when it has one.
struct Handset {
    key: Device,
    incarnation: u64,
    sent: Vec<wire::Send>,
    committed: Option<Position>,
    /// Given and not acknowledged.
    held: Vec<(Position, String)>,
    session: Option<Client>,
}

struct Story {
    world: World,
    reference: Reference,
    handsets: BTreeMap<Dev, Handset>,
    random: u64,
    texts: u64,
}

#[tokio::test]
async fn random_sequences_through_sessions() {
    for seed in 1..=SEQUENCES {
        let mut story = Story::new(seed).await;
        for number in 0..STEPS {
            let step = story.step().await;
            story.read_all().await.unwrap_or_else(|why| panic!("seed {seed}, step {number}, {step}: {why}"));
        }
    }
}

impl Story {
    async fn new(seed: u64) -> Story {
        // A link that is lost stays unannounced for as long as a story takes, and so does a restart.
        let world = World::with("sessions = { grace = \"1h\" }").await;
        let rules = Rules {
            lock_by_name: false,
            lock: (3, 60_000),
            others: Others::Stay,
            tell_missed: false,
            quota: 10_000,
            grace_ms: 3_600_000,
        };
        let (reference, handsets) = (Reference::new(rules, 0), BTreeMap::new());
        let mut story = Story { world, reference, handsets, random: seed, texts: 0 };
        for who in 0..PEOPLE {
            story.register((who, 0)).await;
        }
        story
    }

    fn roll(&mut self, below: usize) -> usize {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) as usize % below
    }

    /// One thing happens; what, for whoever reads a failure.
    async fn step(&mut self) -> String {
        let dev = (self.roll(PEOPLE), usize::from(self.roll(4) == 0));
        let (kind, whom) = (self.roll(100), self.roll(NAMES.len()));
        if !self.reference.is_live(dev) {
            if kind < 60 {
                self.come(dev).await;
            }
            return format!("{dev:?} comes");
        }
        match kind {
            0..40 => self.message(dev, whom).await,
            40..50 => self.broadcast(dev).await,
            50..65 => self.block(dev, whom, kind < 60).await,
            65..73 => self.lists(dev).await,
            73..82 => self.again(dev, kind < 80).await,
            82..88 => self.ack(dev).await,
            88..94 => self.leave(dev, kind < 91).await,
            94..99 => {}
            _ => self.restart().await,
        }
        format!("{dev:?} {kind} {whom}")
    }

    fn session(&mut self, dev: Dev) -> &mut Client {
        self.handsets.get_mut(&dev).and_then(|handset| handset.session.as_mut()).expect("it is live")
    }

    async fn register(&mut self, dev: Dev) {
        let mut client = Client::connect(&self.world).await;
        client.register(NAMES[dev.0], PASSWORD).await.unwrap();
        self.reference.register(dev).unwrap();
        self.enter(dev, client).await;
    }

    /// By its key, or by password where it has none that the server knows.
    async fn come(&mut self, dev: Dev) {
        let known = self.handsets.get(&dev).map(|handset| handset.key.clone());
        let mut client = match known {
            Some(key) => {
                let mut client = Client::connect_as(&self.world, key).await;
                client.by_key(NAMES[dev.0]).await.unwrap();
                client
            }
            None => {
                let mut client = Client::connect(&self.world).await;
                client.login(NAMES[dev.0], PASSWORD).await.unwrap();
                self.reference.login(dev, true, 0).unwrap();
                client
            }
        };
        if let Some(handset) = self.handsets.get(&dev) {
            client.go_on(handset.incarnation, handset.sent.len() as u64);
        }
        self.enter(dev, client).await;
    }

    async fn enter(&mut self, dev: Dev, mut client: Client) {
        let committed = self.handsets.get(&dev).and_then(|handset| handset.committed);
        client.hello_from(committed.map(Into::into)).await.unwrap();
        assert!(!client.welcome.copy && !client.welcome.restored);
        assert_eq!(client.welcome.streams[0].last, self.reference.decided_places(dev) as u64);
        self.reference.open(dev).unwrap();
        let handset = self.handsets.entry(dev).or_insert_with(|| Handset {
            key: client.device.clone(),
            incarnation: client.incarnation,
            sent: Vec::new(),
            committed: None,
            held: Vec::new(),
            session: None,
        });
        handset.committed = client.welcome.cursor.map(Position::from);
        handset.held.clear();
        handset.session = Some(client);
    }

    async fn message(&mut self, dev: Dev, to: usize) {
        self.texts += 1;
        let text = format!("text {}", self.texts);
        let expected = self.reference.message(dev, to, &text);
        self.send(dev, NAMES[to], &text, expected).await;
    }

    async fn broadcast(&mut self, dev: Dev) {
        self.texts += 1;
        let text = format!("text {}", self.texts);
        let expected = self.reference.broadcast(dev, &text);
        self.send(dev, "", &text, expected).await;
    }

    async fn send(&mut self, dev: Dev, to: &str, text: &str, expected: Answer) {
        let client = self.session(dev);
        let run = client.text(to, text).await;
        let item = client.item(to, text, client.cseq());
        assert_eq!(answer(&run), expected, "{dev:?} to {to:?}");
        self.handsets.get_mut(&dev).unwrap().sent.push(item);
    }

    /// A place that was decided, with its content or another.
    async fn again(&mut self, dev: Dev, same: bool) {
        let places = self.handsets[&dev].sent.len();
        if places == 0 {
            return;
        }
        let place = self.roll(places);
        let expected = self.reference.again(dev, place, same);
        let sent = self.handsets[&dev].sent[place].clone();
        let client = self.session(dev);
        let item = if same { sent } else { client.item("carol", "something else", sent.cseq) };
        client.link.queue(&Frame::new(method::SEND, 0, &wire::Send { settled: 0, ..item }));
        client.link.flush().await.unwrap();
        let verdict: wire::Verdict = client.push(method::VERDICT).await;
        assert_eq!(answer(&verdict.runs[0]), expected, "{dev:?} place {place}");
    }

    async fn block(&mut self, dev: Dev, whom: usize, on: bool) {
        let ask = wire::Account { account: NAMES[whom].into() };
        let method = if on { method::BLOCK } else { method::UNBLOCK };
        let came = self.session(dev).ask::<wire::BlockChanged>(method, &ask).await;
        let came = came.map(|done| done.changed).map_err(|fault| fault.code);
        assert_eq!(came, self.reference.block(dev.0, whom, on));
    }

    async fn lists(&mut self, dev: Dev) {
        let names = |people: wire::People| people.items.into_iter().map(|p| p.account).collect::<Vec<_>>();
        let ask = wire::PeopleQuery { after: String::new(), seconds: 3600 };
        let online: wire::People = self.session(dev).ask(method::WHOELSE, &ask).await.unwrap();
        assert_eq!(names(online), self.reference.whoelse(dev.0));
        let since: wire::People = self.session(dev).ask(method::WHOELSESINCE, &ask).await.unwrap();
        assert_eq!(names(since), self.reference.whoelsesince(dev.0, 3_600_000));
        let blocked: wire::Blocked = self.session(dev).ask(method::BLOCKED, &wire::Empty {}).await.unwrap();
        assert_eq!(blocked.accounts, self.reference.blocked(dev.0));
    }

    /// Acknowledges some of what it holds.
    async fn ack(&mut self, dev: Dev) {
        let held = self.handsets[&dev].held.len();
        if held == 0 {
            return;
        }
        let count = 1 + self.roll(held);
        let handset = self.handsets.get_mut(&dev).unwrap();
        let last = handset.held.drain(..count).next_back().unwrap().0;
        handset.committed = Some(last);
        self.reference.ack(dev, count);
        self.session(dev).ack(Some(last.into())).await;
        self.session(dev).barrier().await;
    }

    /// On purpose, or the link is lost: then the server hears of it when it reads, so another question waits for that.
    async fn leave(&mut self, dev: Dev, on_purpose: bool) {
        let mut client = self.handsets.get_mut(&dev).unwrap().session.take().unwrap();
        if on_purpose {
            client.ask::<wire::Empty>(method::LOGOUT, &wire::Logout { all_devices: false }).await.unwrap();
            self.reference.logout(dev, false);
        } else {
            drop(client);
            self.reference.lose(dev);
        }
    }

    async fn restart(&mut self) {
        self.world.restart().await;
        self.reference.restart(true);
        self.handsets.values_mut().for_each(|handset| handset.session = None);
    }

    /// Everybody who is there holds exactly what the reference says, in its order.
    async fn read_all(&mut self) -> Result<(), String> {
        for (dev, handset) in &mut self.handsets {
            let Some(client) = &mut handset.session else { continue };
            // The first is answered before what waits is sent, the second behind it.
            client.barrier().await;
            client.barrier().await;
            for body in client.take_seen(method::DELIVER) {
                let entry = wire::Deliver::decode(body).unwrap();
                let text = if entry.kind == wire::kind::DEVICE { Vec::new() } else { entry.body.to_vec() };
                handset.held.push((at(entry.position), String::from_utf8(text).unwrap()));
            }
            let held: Vec<_> = handset.held.iter().map(|(_, text)| text.clone()).collect();
            let expected = self.reference.unread(*dev);
            if held != expected {
                return Err(format!("{dev:?} holds {held:?}, expected {expected:?}"));
            }
        }
        Ok(())
    }
}

fn answer(run: &wire::Run) -> Answer {
    Answer::Decided {
        code: chat_proto::fault::Code(run.code),
        online: run.online,
        audience: run.audience as usize,
        missed: run.missed,
        stored: run.stored,
    }
}
