//! What must be true, said as plainly as possible: the rules of accounts, presence, messages and blocks over a handful of people
//! in memory. Slow, without a database, and without a word of the server's own code. The model test drives store and accounts beside
//! it, a test of the gateway real sessions.

use std::collections::{BTreeMap, BTreeSet};

use chat_proto::fault::Code;
use chat_proto::machine::presence::Reason;

/// Who there is; the last one never registers.
pub const NAMES: [&str; 5] = ["alice", "bob", "carol", "dave", "nobody"];
/// People who may register.
pub const PEOPLE: usize = NAMES.len() - 1;
/// Devices of each.
pub const DEVICES: usize = 2;
/// After a restart everybody who was announced stays announced for so long, in milliseconds.
const RESTART_GRACE_MS: u64 = 60_000;

/// What happens to the other devices of an account that logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    /// They stay.
    Stay,
    /// They are ended.
    Go,
    /// One that lives refuses the new one.
    Refuse,
}

/// What the operator decides.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// A lock holds for the name, from everywhere and for its devices' keys, and is always as long as the first (classic); not for
    /// a name and a source.
    pub lock_by_name: bool,
    /// Wrong passwords in a row before a lock, and the first lock in milliseconds.
    pub lock: (u32, u64),
    /// Other devices of an account that logs in.
    pub others: Others,
    /// Broadcasters learn that somebody online was left out (classic).
    pub tell_missed: bool,
    /// Entries that may wait for one account.
    pub quota: usize,
    /// A lost link is announced after so many milliseconds.
    pub grace_ms: u64,
}

/// A device of a person, by numbers.
pub type Dev = (usize, usize);

/// A notice of presence: who, came or went, why, and who must not hear it.
pub type Notice = (usize, bool, Reason, BTreeSet<usize>);

/// What a send is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Decided { code: Code, online: bool, audience: usize, missed: bool, stored: bool },
    Gap(u64),
}

/// An inbox entry.
#[derive(Clone, Debug)]
struct Entry {
    at: u64,
    from: Option<usize>,
    device: Dev,
    text: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Presence {
    #[default]
    Away,
    Here,
    Grace(u64),
}

#[derive(Clone, Debug, Default)]
struct Device {
    live: bool,
    cursor: u64,
    decisions: Vec<Code>,
}

#[derive(Clone, Debug, Default)]
struct Person {
    exists: bool,
    blocks: BTreeSet<usize>,
    presence: Presence,
    left_at: Option<u64>,
    inbox: Vec<Entry>,
    seen: u64,
    devices: [Option<Device>; DEVICES],
}

/// Wrong passwords in a row; `kept_ms` is what a start would find of the lock.
#[derive(Clone, Copy, Debug, Default)]
struct Guesses {
    count: u32,
    locks: u32,
    until: Option<u64>,
    kept_ms: u64,
}

/// Everything there is.
#[derive(Clone, Debug)]
pub struct Reference {
    rules: Rules,
    people: [Person; PEOPLE],
    guesses: BTreeMap<(usize, usize), Guesses>,
    entries: u64,
    now: u64,
    /// What was announced since it was last taken.
    pub notices: Vec<Notice>,
    /// Sessions that were ended since it was last taken, with the reason.
    pub ended: Vec<(Dev, Code)>,
}

impl Reference {
    pub fn new(rules: Rules, now: u64) -> Reference {
        let (people, guesses) = (Default::default(), BTreeMap::new());
        Reference { rules, people, guesses, entries: 0, now, notices: Vec::new(), ended: Vec::new() }
    }

    /// A name is given once; its first device knows nothing of what was before.
    pub fn register(&mut self, (who, dev): Dev) -> Result<(), Code> {
        let entries = self.entries;
        let person = &mut self.people[who];
        if person.exists {
            return Err(Code::NAME_TAKEN);
        }
        (person.exists, person.seen) = (true, entries);
        person.devices[dev] = Some(Device { cursor: entries, ..Device::default() });
        Ok(())
    }

    /// The third wrong one in a row locks, locks double, a right one during the lock is refused, success forgets.
    pub fn login(&mut self, (who, dev): Dev, right: bool, source: usize) -> Result<(), Code> {
        let key = (who, if self.rules.lock_by_name { 0 } else { source });
        let now = self.now;
        let mut guesses = self.guesses.get(&key).copied().unwrap_or_default();
        if guesses.until.is_some_and(|until| until > now) {
            return Err(Code::LOCKED_OUT);
        }
        if right && self.exists(who) {
            self.guesses.remove(&key);
            self.enrol((who, dev));
            return Ok(());
        }
        if guesses.until.take().is_some() {
            guesses.count = 0;
        }
        guesses.count += 1;
        guesses.kept_ms = 0;
        let locks = guesses.count >= self.rules.lock.0;
        if locks {
            let doubled = if self.rules.lock_by_name { 0 } else { guesses.locks };
            guesses.kept_ms = (self.rules.lock.1 << doubled).min(15 * 60_000);
            guesses.until = Some(now + guesses.kept_ms);
            guesses.locks += 1;
        }
        self.guesses.insert(key, guesses);
        Err(if locks { Code::LOCKED_OUT } else { Code::WRONG_CREDENTIALS })
    }

    /// A device that was enrolled may come in by its key; a lock of its own name may hold for it too.
    pub fn key(&self, (who, dev): Dev) -> Result<(), Code> {
        let locked =
            self.guesses.get(&(who, 0)).and_then(|guesses| guesses.until).is_some_and(|until| until > self.now);
        if self.rules.lock_by_name && locked {
            return Err(Code::LOCKED_OUT);
        }
        if self.device((who, dev)).is_some() { Ok(()) } else { Err(Code::WRONG_CREDENTIALS) }
    }

    /// A new device begins at what the furthest one saw, and the others hear of it.
    fn enrol(&mut self, (who, dev): Dev) {
        let person = &mut self.people[who];
        if person.devices[dev].is_none() {
            person.devices[dev] = Some(Device { cursor: person.seen, ..Device::default() });
            self.put(who, None, (who, dev), String::new());
        }
    }

    /// Opens a session, by the policy for the account's other devices.
    pub fn open(&mut self, (who, dev): Dev) -> Result<(), Code> {
        let others: Vec<usize> = (0..DEVICES).filter(|other| *other != dev && self.is_live((who, *other))).collect();
        match self.rules.others {
            Others::Refuse if !others.is_empty() => return Err(Code::ALREADY_LOGGED_IN),
            Others::Go => others.iter().for_each(|other| self.end((who, *other), Code::REPLACED)),
            _ => {}
        }
        if self.is_live((who, dev)) {
            self.end((who, dev), Code::REPLACED);
        }
        let came = self.people[who].presence == Presence::Away;
        self.live((who, dev), true);
        self.people[who].presence = Presence::Here;
        if came {
            self.announce(who, true, Reason::Login);
        }
        Ok(())
    }

    /// Ends a session on purpose, and those of the account's other devices if wanted.
    pub fn logout(&mut self, (who, dev): Dev, everywhere: bool) {
        self.live((who, dev), false);
        for other in 0..DEVICES {
            if everywhere && self.is_live((who, other)) {
                self.end((who, other), Code::NOT_LOGGED_IN);
            }
        }
        if !self.is_anywhere(who) {
            self.went(who, Reason::Logout);
        }
    }

    /// A link is lost: nobody hears of it before the grace is over.
    pub fn lose(&mut self, (who, dev): Dev) {
        self.live((who, dev), false);
        if !self.is_anywhere(who) {
            self.people[who].presence = Presence::Grace(self.now + self.rules.grace_ms);
        }
    }

    /// A message to one person: unknown and oneself first, then the block, then room.
    pub fn message(&mut self, (who, dev): Dev, to: usize, text: &str) -> Answer {
        let code = self.refusal(who, to);
        let online = code == Code::ACCEPTED && self.is_announced(to);
        if code == Code::ACCEPTED {
            self.deliver((who, dev), &[to], text);
        }
        self.decided((who, dev), code, online, 0, false)
    }

    fn refusal(&self, who: usize, to: usize) -> Code {
        if !self.exists(to) {
            Code::UNKNOWN_USER
        } else if to == who {
            Code::YOURSELF
        } else if self.blocks(to, who) {
            Code::RECIPIENT_BLOCKED
        } else if self.is_full(to) {
            Code::INBOX_FULL
        } else {
            Code::ACCEPTED
        }
    }

    /// To everybody who is announced, save oneself, those who block one, and those without room.
    pub fn broadcast(&mut self, (who, dev): Dev, text: &str) -> Answer {
        let online: Vec<usize> = (0..PEOPLE).filter(|to| *to != who && self.is_announced(*to)).collect();
        let reached = |to: &&usize| !self.blocks(**to, who) && !self.is_full(**to);
        let audience: Vec<usize> = online.iter().filter(reached).copied().collect();
        let missed = self.rules.tell_missed && audience.len() < online.len();
        self.deliver((who, dev), &audience, text);
        self.decided((who, dev), Code::ACCEPTED, false, audience.len(), missed)
    }

    /// Gives the next place up.
    pub fn give_up(&mut self, dev: Dev) -> Answer {
        let Answer::Decided { code, .. } = self.decided(dev, Code::VOID, false, 0, false) else { unreachable!() };
        Answer::Decided { code, online: false, audience: 0, missed: false, stored: true }
    }

    /// A place that was decided is answered as it was, unless the content is another.
    pub fn again(&self, dev: Dev, place: usize, same: bool) -> Answer {
        let was = self.device(dev).map_or(Code::INTERNAL, |device| device.decisions[place]);
        let code = if same || was == Code::VOID { was } else { Code::CONFLICT };
        Answer::Decided { code, online: false, audience: 0, missed: false, stored: true }
    }

    fn decided(&mut self, dev: Dev, code: Code, online: bool, audience: usize, missed: bool) -> Answer {
        if let Some(device) = self.device_mut(dev) {
            device.decisions.push(code);
        }
        Answer::Decided { code, online, audience, missed, stored: false }
    }

    /// Into each recipient's inbox, and into the sender's own where it has another device.
    fn deliver(&mut self, (who, dev): Dev, to: &[usize], text: &str) {
        self.entries += 1;
        let several = self.people[who].devices.iter().flatten().count() > 1;
        let own = if several { Some(who) } else { None };
        for inbox in to.iter().copied().chain(own) {
            let entry = Entry { at: self.entries, from: Some(who), device: (who, dev), text: text.to_owned() };
            self.people[inbox].inbox.push(entry);
        }
    }

    fn put(&mut self, who: usize, from: Option<usize>, device: Dev, text: String) {
        self.entries += 1;
        self.people[who].inbox.push(Entry { at: self.entries, from, device, text });
    }

    /// Blocking again is harmless; answers whether it changed anything.
    pub fn block(&mut self, who: usize, whom: usize, on: bool) -> Result<bool, Code> {
        if !self.exists(whom) {
            return Err(Code::UNKNOWN_USER);
        }
        if whom == who {
            return Err(Code::YOURSELF);
        }
        let blocks = &mut self.people[who].blocks;
        if on {
            return Ok(blocks.insert(whom));
        }
        if blocks.remove(&whom) { Ok(true) } else { Err(Code::NOT_BLOCKED) }
    }

    /// Everybody announced, save oneself and those who block one.
    pub fn whoelse(&self, who: usize) -> Vec<&'static str> {
        self.visible(who, |reference, other| reference.is_announced(other))
    }

    /// Those too who left at most so long ago.
    pub fn whoelsesince(&self, who: usize, back_ms: u64) -> Vec<&'static str> {
        let since = self.now.saturating_sub(back_ms);
        self.visible(who, |reference, other| {
            reference.is_announced(other) || reference.people[other].left_at.is_some_and(|left| left >= since)
        })
    }

    fn visible(&self, who: usize, there: impl Fn(&Reference, usize) -> bool) -> Vec<&'static str> {
        let others = (0..PEOPLE).filter(|other| *other != who && !self.blocks(*other, who) && there(self, *other));
        others.map(|other| NAMES[other]).collect()
    }

    /// Whom one blocks.
    pub fn blocked(&self, who: usize) -> Vec<&'static str> {
        self.people[who].blocks.iter().map(|whom| NAMES[*whom]).collect()
    }

    /// What a device has not acknowledged, in order; its own messages it knows by their verdicts.
    pub fn unread(&self, dev: Dev) -> Vec<String> {
        self.waiting(dev).map(|entry| entry.text.clone()).collect()
    }

    fn waiting(&self, (who, dev): Dev) -> impl Iterator<Item = &Entry> {
        let cursor = self.device((who, dev)).map_or(0, |device| device.cursor);
        self.people[who].inbox.iter().filter(move |entry| entry.at > cursor && entry.device != (who, dev))
    }

    /// A device holds the first so many of what was unread.
    pub fn ack(&mut self, dev: Dev, count: usize) {
        let Some(at) = count.checked_sub(1).and_then(|last| self.waiting(dev).nth(last)).map(|entry| entry.at) else {
            return;
        };
        if let Some(device) = self.device_mut(dev) {
            device.cursor = at;
        }
        self.people[dev.0].seen = self.people[dev.0].seen.max(at);
    }

    /// Time passes.
    pub fn tick(&mut self, now: u64) {
        self.now = now;
        for who in 0..PEOPLE {
            if matches!(self.people[who].presence, Presence::Grace(until) if until <= now) {
                self.went(who, Reason::Link);
            }
        }
        for guesses in self.guesses.values_mut().filter(|guesses| guesses.until.is_some_and(|until| until <= now)) {
            *guesses = Guesses { locks: guesses.locks, ..Guesses::default() };
        }
    }

    /// The server ends and starts again: whoever was announced still is, for a while. In good order it keeps what is left of
    /// locks, after a crash they begin anew.
    pub fn restart(&mut self, orderly: bool) {
        let now = self.now;
        for person in &mut self.people {
            person.devices.iter_mut().flatten().for_each(|device| device.live = false);
            if person.presence != Presence::Away {
                person.presence = Presence::Grace(now + RESTART_GRACE_MS);
            }
        }
        for guesses in self.guesses.values_mut() {
            if let Some(until) = guesses.until.filter(|_| orderly) {
                guesses.kept_ms = until.saturating_sub(now);
            }
            guesses.until = (guesses.kept_ms > 0).then_some(now + guesses.kept_ms);
            if guesses.until.is_none() && guesses.count >= self.rules.lock.0 {
                guesses.count = 0;
            }
        }
    }

    /// Whether a device has an open session.
    pub fn is_live(&self, dev: Dev) -> bool {
        self.device(dev).is_some_and(|device| device.live)
    }

    /// Places decided in a device's stream.
    pub fn decided_places(&self, dev: Dev) -> usize {
        self.device(dev).map_or(0, |device| device.decisions.len())
    }

    fn exists(&self, who: usize) -> bool {
        self.people.get(who).is_some_and(|person| person.exists)
    }

    fn blocks(&self, by: usize, who: usize) -> bool {
        self.people[by].blocks.contains(&who)
    }

    fn is_full(&self, who: usize) -> bool {
        let person = &self.people[who];
        person.inbox.iter().filter(|e| e.at > person.seen && e.from != Some(who)).count() >= self.rules.quota
    }

    fn is_announced(&self, who: usize) -> bool {
        self.people[who].presence != Presence::Away
    }

    fn is_anywhere(&self, who: usize) -> bool {
        (0..DEVICES).any(|dev| self.is_live((who, dev)))
    }

    fn went(&mut self, who: usize, reason: Reason) {
        self.people[who].presence = Presence::Away;
        self.people[who].left_at = Some(self.now);
        self.announce(who, false, reason);
    }

    fn announce(&mut self, who: usize, online: bool, reason: Reason) {
        let mut hidden = self.people[who].blocks.clone();
        hidden.insert(who);
        self.notices.push((who, online, reason, hidden));
    }

    fn end(&mut self, dev: Dev, code: Code) {
        self.live(dev, false);
        self.ended.push((dev, code));
    }

    fn live(&mut self, dev: Dev, live: bool) {
        if let Some(device) = self.device_mut(dev) {
            device.live = live;
        }
    }

    fn device(&self, (who, dev): Dev) -> Option<&Device> {
        self.people.get(who)?.devices[dev].as_ref()
    }

    fn device_mut(&mut self, (who, dev): Dev) -> Option<&mut Device> {
        self.people.get_mut(who)?.devices[dev].as_mut()
    }
}
