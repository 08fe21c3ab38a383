//! Random operations against a small model: every device reads exactly what it has not acknowledged, in order.

use std::collections::BTreeMap;

use chat_proto::id::Position;
use chat_proto::machine::inbox::Feed;

use super::town::{Device, Place, Town, message, text};
use crate::store::{Ending, Op, Settings, Verdict};

const NAMES: [&str; 4] = ["alice", "bob", "carol", "dave"];

/// Small random numbers from a seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % below as u64) as usize
    }
}

/// A device as the model has it.
struct Reader {
    device: Device,
    account: usize,
    live: bool,
    feed: Feed,
    /// The client's durable cursor.
    committed: Option<Position>,
    /// Everything that ever stood in its inbox: place, full position, text.
    expected: BTreeMap<u64, (Position, String)>,
    /// Verdicts of its stream.
    cseq: u64,
}

impl Reader {
    fn after(&self) -> u64 {
        self.committed.map_or(0, |p| p.n)
    }

    fn unread(&self) -> Vec<(u64, String)> {
        self.expected.range(self.after() + 1..).map(|(n, (_, text))| (*n, text.clone())).collect()
    }
}

struct Model<P: Place> {
    town: Town<P>,
    readers: Vec<Reader>,
    dice: Dice,
}

/// A run of `steps` random operations; ends with everything acknowledged and nothing kept.
pub async fn agrees_with_the_model<P: Place>(place: P, seed: u64, steps: usize) {
    let mut model = Model::new(place, seed).await;
    for _ in 0..steps {
        model.step().await;
    }
    model.finish().await;
}

impl<P: Place> Model<P> {
    async fn new(place: P, seed: u64) -> Model<P> {
        let mut town = Town::new(place, Settings { reserve: 0, ..Settings::default() }).await;
        let mut devices = Vec::new();
        for (account, who) in NAMES.iter().enumerate() {
            let first = town.sign_up(who, account as u8 * 2 + 1).await;
            let second = town.enrol(first.acct(), account as u8 * 2 + 2).await.unwrap();
            devices.extend([(account, first), (account, second)]);
        }
        let mut readers = Vec::new();
        for (account, mut device) in devices {
            let opened = town.open(&mut device, None).await;
            // The notice of the second device is not part of the model.
            let head: Position = opened.welcome.head.unwrap().into();
            town.ack(&device, head.n).await;
            let (feed, expected) = (Feed::new(head.n), BTreeMap::new());
            readers.push(Reader { device, account, live: true, feed, committed: Some(head), expected, cseq: 0 });
        }
        Model { town, readers, dice: Dice(seed) }
    }

    async fn step(&mut self) {
        let who = self.dice.roll(self.readers.len());
        match self.dice.roll(100) {
            0..40 => self.send(who).await,
            40..75 => self.read(who).await,
            75..85 => self.town.tick(1 + self.dice.roll(3) as u64).await,
            85..90 => self.hang_up(who).await,
            90..96 => self.come_back(who).await,
            96..98 => self.restart(false).await,
            _ => self.restart(true).await,
        }
    }

    async fn send(&mut self, who: usize) {
        if !self.readers[who].live {
            return;
        }
        let count = 1 + self.dice.roll(4) as u64;
        let from = self.readers[who].account;
        let mut items = Vec::new();
        let mut targets = Vec::new();
        for cseq in self.readers[who].cseq + 1..=self.readers[who].cseq + count {
            let to = self.dice.roll(NAMES.len() + 1);
            let text = format!("{from} {who} {cseq}");
            items.push(message(self.readers[who].device.inc, cseq, NAMES.get(to).copied().unwrap_or(""), &text));
            targets.push((to, text));
        }
        let verdicts = self.town.send(&self.readers[who].device, items).await;
        assert_eq!(verdicts.len(), targets.len());
        for (verdict, (to, text)) in verdicts.into_iter().zip(targets) {
            let Verdict::Decided { position, .. } = verdict else { panic!("{verdict:?}") };
            self.readers[who].cseq += 1;
            assert_eq!(position.is_none(), to == from, "only oneself is refused here");
            let Some(position) = position else { continue };
            let parties: Vec<usize> = if to == NAMES.len() { (0..NAMES.len()).collect() } else { vec![to, from] };
            for (index, reader) in self.readers.iter_mut().enumerate() {
                if !parties.contains(&reader.account) {
                    continue;
                }
                if index != who {
                    reader.expected.insert(position.n, (position, text.clone()));
                } else if reader.feed.position() + 1 == position.n {
                    reader.feed.pass_over(position.n);
                }
            }
        }
    }

    /// Reads a page like a gateway, compares, acknowledges some of it.
    async fn read(&mut self, who: usize) {
        let count = 1 + self.dice.roll(20);
        let acks = self.dice.roll(count + 1);
        let reader = &mut self.readers[who];
        let page = self.town.page(reader.device.acct(), reader.after(), count, usize::MAX).await;
        let got: Vec<_> =
            page.entries.iter().filter(|e| e.device != reader.device.dev()).map(|e| (e.n, text(e))).collect();
        let expected = reader.unread();
        assert!(expected.starts_with(&got), "device {who}: {got:?} of {expected:?}");
        assert!(!page.end || got.len() == expected.len(), "device {who} misses some of {expected:?}: {got:?}");
        if !reader.live || acks == 0 {
            return;
        }
        let Some((n, _)) = got.get(acks.min(got.len()).wrapping_sub(1)) else { return };
        reader.feed.rewind(reader.feed.acked()).unwrap();
        for entry in &page.entries {
            if entry.device == reader.device.dev() {
                reader.feed.pass_over(entry.n);
            } else {
                reader.feed.give(entry.n, entry.tail.len());
            }
        }
        reader.feed.ack(*n).unwrap();
        reader.committed = Some(reader.expected[n].0);
        let (fence, acked, cursor) = (reader.device.fence(), reader.feed.acked(), reader.feed.cursor());
        self.town.submit(Op::Ack { fence, acked, cursor }).await;
    }

    async fn hang_up(&mut self, who: usize) {
        if std::mem::take(&mut self.readers[who].live) {
            let grace_until = u64::MAX;
            self.town.leave(&self.readers[who].device, Ending::Lost { grace_until }).await;
        }
    }

    async fn come_back(&mut self, who: usize) {
        let reader = &mut self.readers[who];
        let opened = self.town.open(&mut reader.device, reader.committed).await;
        assert_eq!(opened.cursor, reader.after());
        assert_eq!(opened.welcome.streams[0].last, reader.cseq);
        assert!(!opened.welcome.copy && !opened.welcome.restored && opened.welcome.resync == 0);
        reader.feed = Feed::new(opened.cursor);
        reader.live = true;
    }

    async fn restart(&mut self, orderly: bool) {
        if orderly {
            self.town.shut_down().await
        } else {
            self.town.crash()
        }
        self.town.start().await;
        // Everyone comes back, so that everyone stays announced and in every audience.
        for who in 0..self.readers.len() {
            self.come_back(who).await;
        }
    }

    async fn finish(&mut self) {
        for who in 0..self.readers.len() {
            self.come_back(who).await;
            let got = self.town.inbox(&self.readers[who].device, self.readers[who].after()).await;
            let expected: Vec<_> = self.readers[who].unread().into_iter().map(|(_, text)| text).collect();
            assert_eq!(got, expected, "device {who}");
        }
        for reader in &self.readers {
            self.town.ack(&reader.device, u64::MAX / 2).await;
        }
        self.town.fold().await;
        assert_eq!(self.town.place.kept(), 0);
    }
}
