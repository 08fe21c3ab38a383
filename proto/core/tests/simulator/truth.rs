//! The checker: what really happened, from what became durable, against what was told and what each history holds.

use std::collections::{BTreeMap, BTreeSet};

use chat_proto::fault::Code;
use chat_proto::machine::outbox::Settle;

use super::client::{Client, ClientDb, Out};
use super::link::Deliver;
use super::server::ServerDb;
use super::{DEVICES, To, account};

/// A message as its sender meant it. `body` names it: no two messages have the same.
#[derive(Clone, Debug)]
struct Meant {
    dev: usize,
    to: To,
    /// Its place among all that its device queued.
    order: usize,
    queued: bool,
    told: Option<Code>,
}

/// What the server decided, durably.
#[derive(Clone, Copy, Debug)]
struct Decided {
    code: u32,
    parties: u8,
    at: u64,
}

/// Everything that must hold in the end.
#[derive(Debug, Default)]
pub struct Truth {
    pub wrong: Vec<String>,
    meant: BTreeMap<u64, Meant>,
    bodies: BTreeMap<(usize, u64, u64), u64>,
    decided: BTreeMap<(usize, u64, u64), Decided>,
    orders: [usize; DEVICES],
    pub server_restored: bool,
    /// When a device's disk was set back.
    pub restored: [Option<u64>; DEVICES],
}

impl Truth {
    pub fn wrong(&mut self, what: String) {
        self.wrong.push(what);
    }

    /// Whether an alarm about an old copy of this device's data is right.
    pub fn set_back(&self, dev: usize) -> bool {
        self.server_restored || self.restored[dev].is_some()
    }

    pub fn attempted(&mut self, dev: usize, out: &Out) {
        self.orders[dev] += 1;
        let order = self.orders[dev];
        self.meant.insert(out.body, Meant { dev, to: out.to, order, queued: false, told: None });
        self.bodies.insert((dev, out.inc.0, out.cseq), out.body);
    }

    pub fn queued(&mut self, dev: usize, out: &Out) {
        match self.meant.get_mut(&out.body) {
            Some(meant) if !meant.queued => meant.queued = true,
            _ => self.wrong(format!("device {dev}: {} was queued twice", out.body)),
        }
    }

    /// A verdict was told to the user: it must be the durable truth, and the only one.
    pub fn told(&mut self, dev: usize, body: u64, settle: Settle) {
        let key = (dev, settle.incarnation.0, settle.cseq);
        let decided = self.decided.get(&key).map(|d| Code(d.code));
        if settle.code != Code::OUTCOME_LOST && !self.server_restored && decided != Some(settle.code) {
            self.wrong(format!("device {dev}: {body} told {:?}, durable {decided:?}", settle.code));
        }
        if settle.code == Code::CONFLICT || settle.code == Code::OUTCOME_LOST && !self.set_back(dev) {
            self.wrong(format!("device {dev}: {body} told {:?}", settle.code));
        }
        let set_back = self.set_back(dev);
        let Some(meant) = self.meant.get_mut(&body) else { return };
        if meant.told.replace(settle.code).is_some_and(|old| old != settle.code) && !set_back {
            self.wrong(format!("device {dev}: {body} told two things"));
        }
    }

    /// The server's disk holds this, whatever happens.
    pub fn durable(&mut self, db: &ServerDb, at: u64) {
        for ((dev, inc), stream) in &db.streams {
            let first = stream.last() + 1 - stream.recent().len() as u64;
            for (cseq, decision) in (first..).zip(stream.recent()) {
                let parties = db.log.get(&decision.n).map_or(0, |row| row.parties);
                let fresh = Decided { code: decision.code, parties, at };
                let known = self.decided.entry((*dev, *inc, cseq)).or_insert(fresh);
                if known.code != decision.code {
                    if !self.server_restored {
                        self.wrong.push(format!("device {dev}: {inc} {cseq} was decided twice"));
                    }
                    *known = fresh;
                }
            }
        }
    }

    /// All is quiet: the promises.
    pub fn check(&mut self, clients: &[Client]) {
        for client in clients {
            if client.open_count() > 0 || !client.is_idle() {
                self.wrong(format!("device {}: {} places are never resolved", client.dev, client.open_count()));
            }
            self.check_history(client);
            self.check_queue(client);
        }
        self.check_presence(clients);
        self.check_offered_again(clients);
        self.check_same_order(clients);
    }

    /// P3, P4, P5: once, in the order of queueing, nothing that was not meant for it.
    fn check_history(&mut self, client: &Client) {
        let dev = client.dev;
        let mut seen = BTreeSet::new();
        let mut last = [0; DEVICES];
        for entry in &client.disk.read().history {
            let Some(meant) = self.meant.get(&entry.body).cloned() else {
                self.wrong(format!("device {dev}: {} was never queued", entry.body));
                continue;
            };
            let mine = account(dev);
            let entitled = meant.to == To::All || meant.to == To::Account(mine) || account(meant.dev) == mine;
            let same = (meant.dev, meant.to) == (entry.dev, entry.to) && entry.from == account(entry.dev);
            let key = (entry.dev, entry.inc.0, entry.cseq);
            if !entitled || !same || meant.dev == dev || self.bodies.get(&key) != Some(&entry.body) {
                self.wrong(format!("device {dev}: {entry:?} is invented, it was {meant:?}"));
            }
            if !seen.insert(entry.body) {
                self.wrong(format!("device {dev}: {} twice", entry.body));
            }
            // Two old copies at once: what comes again may be behind what was kept.
            let both = self.server_restored && self.restored[dev].is_some();
            if meant.order < std::mem::replace(&mut last[meant.dev], meant.order) && !both {
                self.wrong(format!("device {dev}: {} out of order", entry.body));
            }
            if !self.server_restored && self.decided.get(&key).map(|d| d.code) != Some(Code::ACCEPTED.0) {
                self.wrong(format!("device {dev}: {} was not accepted", entry.body));
            }
        }
    }

    /// P1: what was queued is there, with the verdict that was told.
    fn check_queue(&mut self, client: &Client) {
        let dev = client.dev;
        let db: &ClientDb = client.disk.read();
        let kept: BTreeMap<u64, Option<Code>> = db.out.iter().map(|o| (o.body, o.verdict)).collect();
        let mut wrong = Vec::new();
        for (body, meant) in self.meant.iter().filter(|(_, m)| m.dev == dev && self.restored[dev].is_none()) {
            match kept.get(body) {
                None if meant.queued => wrong.push(format!("device {dev}: {body} was queued and is gone")),
                Some(verdict) if meant.told.is_some() && *verdict != meant.told => {
                    wrong.push(format!("device {dev}: {body} told {:?}, kept {verdict:?}", meant.told));
                }
                _ => {}
            }
        }
        self.wrong.append(&mut wrong);
    }

    /// P2, P6, P7: accepted means there, for everyone; refused means nowhere.
    fn check_presence(&mut self, clients: &[Client]) {
        let histories: Vec<BTreeSet<u64>> =
            clients.iter().map(|c| c.disk.read().history.iter().map(|e| e.body).collect()).collect();
        let mut wrong = Vec::new();
        for (key, decided) in &self.decided {
            let Some(body) = self.bodies.get(key) else { continue };
            let Some(meant) = self.meant.get(body) else { continue };
            for (dev, history) in histories.iter().enumerate() {
                let has = history.contains(body);
                let party = decided.parties & (1 << account(dev)) != 0 && dev != key.0;
                // What a restored server lost, its sender offers again, if it still knows; broadcasts never.
                let lost = self.server_restored && (meant.to == To::All || self.restored[key.0].is_some());
                let set_back = self.restored[dev].is_some_and(|at| decided.at <= at);
                if decided.code == Code::ACCEPTED.0 && party && !has && !lost && !set_back {
                    wrong.push(format!("device {dev}: lacks {body}, accepted at {}", decided.at));
                }
                if has && !self.server_restored && !party {
                    wrong.push(format!("device {dev}: has {body}, decided {decided:?}"));
                }
            }
        }
        self.wrong.append(&mut wrong);
    }

    /// A restored server is offered again what it lost: told accepted means there, all the same.
    fn check_offered_again(&mut self, clients: &[Client]) {
        let mut wrong = Vec::new();
        for (body, meant) in self.meant.iter().filter(|(_, m)| m.told == Some(Code::ACCEPTED)) {
            let To::Account(to) = meant.to else { continue };
            for client in clients.iter().filter(|c| c.dev != meant.dev) {
                let party = [to, account(meant.dev)].contains(&account(client.dev));
                let excused = self.restored[client.dev].is_some() || self.restored[meant.dev].is_some();
                if party && !excused && !client.disk.read().history.iter().any(|e| e.body == *body) {
                    wrong.push(format!("device {}: lacks {body}, told accepted", client.dev));
                }
            }
        }
        self.wrong.append(&mut wrong);
    }

    /// P4: both devices of an account saw the others' messages in the same order.
    fn check_same_order(&mut self, clients: &[Client]) {
        for pair in clients.chunks(2) {
            let [one, two] = pair else { continue };
            if self.server_restored || self.restored[one.dev].is_some() || self.restored[two.dev].is_some() {
                continue;
            }
            let foreign = |c: &Client| -> Vec<u64> {
                let foreign = |e: &&Deliver| account(e.dev) != account(c.dev);
                c.disk.read().history.iter().filter(foreign).map(|e| e.body).collect()
            };
            if foreign(one) != foreign(two) {
                self.wrong(format!("account {}: its devices saw different orders", account(one.dev)));
            }
        }
    }
}
