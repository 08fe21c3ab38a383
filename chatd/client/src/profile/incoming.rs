//! What comes from the server beside verdicts: inbox entries, receipts, marks, presence.

use std::collections::HashMap;

use chat_proto::control::events::Event;
use chat_proto::fault::Code;
use chat_proto::id::{AccountName, DeviceId, Incarnation, Position};
use chat_proto::limits::{DELIVER_WINDOW, DELIVER_WINDOW_BYTES, RECEIPTS_FOLLOWED};
use chat_proto::machine::inbox::Taken;
use chat_proto::{method, wire};
use prost::Message as _;
use tokio::sync::oneshot;

use super::Answer;
use super::owner::{Owner, Then};
use super::session::Pending;
use crate::history::{self, Done, Incoming, Mark, Own, Place, Reach, Row, Trouble, Write};
use crate::planted::planted;
use crate::shown;
use chat_proto::control::ErrorData;

/// A server may give twice its window before it is taken for a hostile one: an honest one never gives more than one.
const SLACK: usize = 2;

/// Entries, and their bytes as far as they are of the server's choice.
#[derive(Clone, Copy, Default)]
struct Load {
    entries: usize,
    bytes: usize,
}

/// Entries that were taken and are not committed.
#[derive(Default)]
pub(super) struct Inbox {
    /// The cursor on the disk.
    pub cursor: Option<Position>,
    /// A commit is on its way; what comes meanwhile waits for the next.
    pub receiving: bool,
    entries: Vec<Incoming>,
    /// What of this session waits for its commit, and what is being committed: the server's window.
    waiting: Load,
    committing: Load,
    taken: Option<Position>,
    count: usize,
    ack_now: bool,
}

impl Inbox {
    /// With the cursor that a start finds.
    pub fn at(cursor: Option<Position>) -> Inbox {
        Inbox { cursor, ..Inbox::default() }
    }

    /// A new session brings them again.
    pub fn forget_uncommitted(&mut self) {
        self.entries.clear();
        (self.waiting, self.committing) = (Load::default(), Load::default());
        self.taken = None;
        self.count = 0;
        self.ack_now = false;
    }

    /// Puts one behind those that wait; false when the server gave far more than its window.
    fn put(&mut self, entry: Incoming) -> bool {
        let (held, bytes) = (self.waiting.bytes + self.committing.bytes, entry.bytes());
        let within = self.waiting.entries + self.committing.entries < SLACK * DELIVER_WINDOW
            && (held == 0 || held + bytes <= SLACK * DELIVER_WINDOW_BYTES);
        if within {
            self.waiting = Load { entries: self.waiting.entries + 1, bytes: self.waiting.bytes + bytes };
            self.entries.push(entry);
        }
        within
    }
}

/// How far other devices read whose messages, as told in this session: what comes later up to there is not unread.
#[derive(Default)]
pub(super) struct ReadThere(HashMap<String, u64>);

impl ReadThere {
    /// Takes a mark; false where nobody can have that name. Of too many people the mark that is farthest back is forgotten.
    fn note(&mut self, person: &str, n: u64) -> bool {
        if !is_name(person) {
            return false;
        }
        if self.0.len() >= RECEIPTS_FOLLOWED && !self.0.contains_key(person) {
            let oldest = self.0.iter().min_by_key(|(_, upto)| **upto).map(|(oldest, _)| oldest.clone());
            oldest.and_then(|oldest| self.0.remove(&oldest));
        }
        let upto = self.0.entry(person.to_owned()).or_default();
        *upto = n.max(*upto);
        true
    }

    fn covers(&self, person: &str, n: u64) -> bool {
        self.0.get(person).is_some_and(|upto| *upto >= n)
    }

    /// A new session tells them again.
    pub fn forget(&mut self) {
        self.0.clear();
    }
}

impl Owner {
    /// An inbox entry.
    pub fn deliver(&mut self, deliver: wire::Deliver) {
        let position: Position = deliver.position.unwrap_or_default().into();
        match self.follower.handle_deliver(deliver.prev.unwrap_or_default().into(), position) {
            Taken::Keep => {
                let read = self.read_there.covers(&deliver.from, position.n);
                let ack_now = deliver.ack_now;
                if !self.inbox.put(Incoming { read, ..incoming(deliver, position) }) {
                    return self.beyond_window();
                }
                self.inbox.ack_now |= ack_now;
                self.inbox.taken = Some(position);
                self.inbox.count += 1;
            }
            Taken::Fetch(from) => self.push(method::FETCH, &wire::Fetch { from: Some(from.into()) }),
            Taken::Ignore => {}
        }
    }

    /// Entries were taken by retention: shown as a gap.
    pub fn gone(&mut self, gone: wire::Gone) {
        let to: Position = gone.to.unwrap_or_default().into();
        self.follower.handle_gone(to);
        let at_ms = self.around.world.now_ms();
        if !self.inbox.put(history::gap(to, gone.count, at_ms)) {
            return self.beyond_window();
        }
        self.inbox.taken = Some(to);
    }

    /// What was taken comes again on the next link.
    fn beyond_window(&mut self) {
        self.lost("the server gives more than may be on the way");
    }

    /// The place from which the server goes on is written down where it is another than ours.
    pub fn resume_inbox(&mut self, cursor: Position, missed: u64, at_ms: i64) {
        if missed > 0 {
            self.inbox.entries.push(history::gap(cursor, missed, at_ms));
        }
        if missed > 0 || self.inbox.cursor != Some(cursor) {
            self.inbox.taken = Some(cursor);
        }
    }

    /// Commits what came; one commit at a time, with all that waits.
    pub fn receive(&mut self) {
        if self.inbox.receiving {
            return;
        }
        let (Some(position), Some(device)) = (self.inbox.taken, self.device.as_ref().map(|d| d.id)) else { return };
        let inbox = &mut self.inbox;
        inbox.taken = None;
        inbox.receiving = true;
        inbox.committing = std::mem::take(&mut inbox.waiting);
        let (count, ack_now) = (std::mem::take(&mut inbox.count), std::mem::take(&mut inbox.ack_now));
        let entries = std::mem::take(&mut inbox.entries);
        let account = self.entry.user.clone();
        let then = Then::Received { session: self.sessions, position, count, ack_now };
        if planted("ack-before-history") {
            self.follower.handle_committed(self.around.world.mono_ms(), position, count, true);
            self.acknowledge();
        }
        self.submit(Write::Receive { account, device, entries, cursor: position }, then);
    }

    /// They are in the history: acknowledged, and shown to whoever follows.
    pub fn received(
        &mut self,
        new: Vec<Row>,
        expired: &[Row],
        session: u64,
        position: Position,
        count: usize,
        ack_now: bool,
    ) {
        self.inbox.receiving = false;
        if session == self.sessions {
            self.inbox.committing = Load::default();
        }
        self.inbox.cursor = Some(position);
        if session == self.sessions && count > 0 {
            // Only a session that was of use ends the waiting: one that opens and breaks at once must not be tried ever again.
            self.tries = 0;
            self.follower.handle_committed(self.around.world.mono_ms(), position, count, ack_now);
        }
        let unread = new.iter().any(|row| row.own == Own::No && !row.from.is_empty());
        for row in new {
            let index = row.index;
            if let Some(event) = shown::arrived(row) {
                self.tell(index, event);
            }
        }
        if unread {
            self.tell_unread();
        }
        expired.iter().for_each(|row| self.moved(row, None));
        self.greet(tokio::time::Instant::now());
    }

    /// Followers of the counts ask again.
    pub fn tell_unread(&self) {
        self.tell(0, Event::Unread { at_ms: self.around.world.now_ms() });
    }

    /// Acknowledges when it is time.
    pub fn acknowledge(&mut self) {
        if self.online().is_none() {
            return;
        }
        if let Some(position) = self.follower.poll_ack(self.around.world.mono_ms()) {
            self.push(method::ACK, &wire::Ack { position: Some(position.into()) });
        }
    }

    /// How far recipients got.
    pub fn receipts(&mut self, receipts: wire::Receipts) {
        let bytes = receipts.encoded_len();
        let reach = |r: wire::Receipt| Reach { peer: r.account, delivered: r.delivered, read: r.read };
        let items: Vec<Reach> = receipts.items.into_iter().map(reach).collect();
        if !items.is_empty() {
            self.submit(Write::Reached(items), Then::Reached(bytes));
        }
    }

    /// Receipts of this person matter from now on.
    pub fn follow(&mut self, person: String) {
        if person.is_empty() || self.followed.len() >= RECEIPTS_FOLLOWED || self.online().is_none() {
            return;
        }
        if self.followed.insert(person.clone()) {
            self.to_follow.push(person);
        }
    }

    pub fn ask_receipts(&mut self) {
        if self.to_follow.is_empty() || self.online().is_none() {
            return;
        }
        let accounts = std::mem::take(&mut self.to_follow);
        self.request(method::RECEIPT, wire::Follow { accounts }.encode_to_vec().into(), Pending::Receipts);
    }

    /// Rows were marked as read on the disk: the server hears of it, until it confirms.
    pub fn marked(&mut self, outcome: Result<Done, Trouble>, reply: oneshot::Sender<Answer<()>>) {
        let answer = match outcome {
            Ok(Done::Marks { marks, private }) => {
                self.tell_unread();
                self.tell_read(&private);
                for mark in marks {
                    self.marks.insert(mark.peer.clone(), mark.clone());
                    if self.online().is_some() {
                        self.send_mark(mark);
                    }
                }
                Ok(())
            }
            _ => Err(Box::new(ErrorData::from(Code::DISK_FULL))),
        };
        let _ = reply.send(answer);
    }

    pub fn repeat_marks(&mut self) {
        for mark in self.marks.values().cloned().collect::<Vec<_>>() {
            self.send_mark(mark);
        }
    }

    fn send_mark(&mut self, mark: Mark) {
        let known = self.online().is_some_and(|session| session.epochs.knows(mark.position));
        if !known {
            // The server was set back to before this message: it has nobody to tell.
            return self.mark_confirmed(mark);
        }
        let body = wire::Mark {
            account: mark.peer.clone(),
            position: Some(mark.position.into()),
            share: self.around.send_read,
        };
        self.request(method::MARK, body.encode_to_vec().into(), Pending::Mark(mark));
    }

    pub fn mark_confirmed(&mut self, mark: Mark) {
        if self.marks.get(&mark.peer) == Some(&mark) {
            self.marks.remove(&mark.peer);
            self.submit(Write::MarkConfirmed(mark), Then::Nothing);
        }
    }

    /// Another device of this account read messages.
    pub fn marked_elsewhere(&mut self, mark: wire::Mark) {
        let position: Position = mark.position.unwrap_or_default().into();
        if !self.read_there.note(&mark.account, position.n) {
            return;
        }
        let bytes = mark.encoded_len();
        self.submit(Write::ReadElsewhere(Mark { peer: mark.account, position }), Then::ReadElsewhere(bytes));
    }

    pub fn presence(&mut self, presence: &wire::Presence) {
        self.saw(presence.items.iter().map(|item| item.account.clone()).filter(|name| is_name(name)));
        for item in &presence.items {
            self.tell(0, came_or_went(item));
        }
        let named = u32::try_from(presence.items.len()).unwrap_or(u32::MAX);
        if presence.count > named {
            let count = presence.count - named;
            self.tell(0, Event::PresenceMany { count, at_ms: self.around.world.now_ms() });
        }
    }
}

/// Whether an account may be named so: what is no name is nobody's, and may be of any length.
fn is_name(name: &str) -> bool {
    AccountName::try_from(name.to_owned()).is_ok()
}

fn came_or_went(item: &wire::PresenceItem) -> Event {
    let reason = match item.reason {
        1 => "login",
        2 => "logout",
        3 => "idle",
        4 => "link",
        5 => "kicked",
        _ => "unknown",
    };
    Event::Presence {
        user: item.account.clone(),
        state: if item.online { "online" } else { "offline" }.into(),
        reason: reason.into(),
        at_ms: item.at_ms,
    }
}

fn incoming(deliver: wire::Deliver, position: Position) -> Incoming {
    Incoming {
        position,
        kind: deliver.kind,
        from: deliver.from,
        to: deliver.to,
        device: DeviceId::try_from(&deliver.device[..]).ok(),
        place: Place { incarnation: Incarnation(deliver.incarnation), cseq: deliver.cseq },
        at_ms: deliver.at_ms,
        content_type: deliver.content_type,
        // A copy: the frame's body shares the memory of a whole read.
        body: bytes::Bytes::copy_from_slice(&deliver.body),
        read: false,
    }
}

#[cfg(test)]
mod tests {
    use chat_proto::limits::{NAME_MAX, TEXT_MAX};

    use super::*;

    fn entry(bytes: usize) -> Incoming {
        let body = vec![b'x'; bytes].into();
        Incoming { body, ..history::gap(Position::default(), 1, 0) }
    }

    fn taken(inbox: &mut Inbox, bytes: usize) -> usize {
        std::iter::repeat_with(|| inbox.put(entry(bytes))).take_while(|put| *put).take(10_000).count()
    }

    #[test]
    fn a_server_cannot_give_more_than_its_window_and_an_honest_one_never_meets_the_end() {
        let mut inbox = Inbox::default();
        assert_eq!(taken(&mut inbox, 1), SLACK * DELIVER_WINDOW);
        inbox.forget_uncommitted();
        let largest = taken(&mut inbox, TEXT_MAX);
        assert!(largest * TEXT_MAX > DELIVER_WINDOW_BYTES, "a whole window, and the one entry that may go beyond it");
        assert!(largest * TEXT_MAX <= SLACK * DELIVER_WINDOW_BYTES);
        inbox.committing = std::mem::take(&mut inbox.waiting);
        assert!(!inbox.put(entry(TEXT_MAX)), "what is being committed counts");
        inbox.committing = Load::default();
        assert!(inbox.put(entry(TEXT_MAX)), "what is committed does not");
    }

    #[test]
    fn marks_of_nobody_are_dropped_and_others_are_bounded() {
        let mut there = ReadThere::default();
        assert!(!there.note(&"x".repeat(NAME_MAX + 1), 1) && !there.note("no name", 1) && !there.note("", 1));
        for n in 1..=3 * RECEIPTS_FOLLOWED as u64 {
            assert!(there.note(&format!("person-{n}"), n));
        }
        assert_eq!(there.0.len(), RECEIPTS_FOLLOWED);
        let newest = 3 * RECEIPTS_FOLLOWED as u64;
        assert!(there.covers(&format!("person-{newest}"), newest) && !there.covers("person-1", 1));
        assert!(there.note(&format!("person-{newest}"), 1));
        assert!(there.covers(&format!("person-{newest}"), newest), "the largest mark holds");
    }
}
