//! Messages: what SEND, VOID and ACKN do to the log, the streams and the cursors, inside the writer's transaction.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use chat_proto::fault::{Code, Fault};
use chat_proto::id::{AccountName, Incarnation, NameRule, Position};
use chat_proto::limits::{OPEN_STREAMS_MAX, RECEIPTS_WAITING, TRY_LATER_MAX};
use chat_proto::machine::stream::{Decision, Offer};
use chat_proto::wire::{self, kind};
use prost::Message;
use rusqlite::params;

use super::start::{self, Begun, Inboxes};
use super::waiting;
use super::writer::{Effect, Writer};
use crate::message::{self, Accepted, Facts};
use crate::planted::planted;
use crate::rate::Bucket;
use crate::store::waiting::Quota;
use crate::store::{AcctId, DevId, Entry, Fence, StoreError, Verdict};

/// TRYLATER for a full disk asks for this wait, in milliseconds.
const DISK_FULL_WAIT_MS: u64 = 5_000;
/// Rows of an inbox that are looked through for those of one sender; of an inbox where more wait, receipts of the older ones come
/// with those of the newer.
const AWAITED_LOOKED_AT: i64 = 1024;
/// The longest wait that TRYLATER asks for.
const LONGEST_WAIT_MS: u64 = TRY_LATER_MAX.as_millis() as u64;

impl Writer {
    /// Decides messages of one session in their order.
    pub fn send(&mut self, fence: Fence, items: Vec<wire::Send>, now_ms: i64) -> Result<(), StoreError> {
        if !self.owns(fence) {
            return Ok(());
        }
        let mut verdicts = Vec::with_capacity(items.len());
        let mut gap: Option<u64> = None;
        for item in items {
            if gap == Some(item.incarnation) {
                continue;
            }
            let offered = self.offer(fence, &item, now_ms)?;
            self.forget_empty(fence.dev, Incarnation(item.incarnation));
            let Some(verdict) = offered else {
                self.effects.push(Effect::End(fence.session, Code::PROTOCOL, false));
                break;
            };
            let stop = matches!(verdict, Verdict::TryLater { .. });
            if let Verdict::Gap { incarnation, .. } = verdict {
                gap = Some(incarnation.0);
            }
            verdicts.push(verdict);
            if stop {
                break;
            }
        }
        self.effects.push(Effect::Verdicts(fence.session, verdicts));
        Ok(())
    }

    /// One offered place; `None` when the session breaks the protocol.
    fn offer(&mut self, fence: Fence, item: &wire::Send, now_ms: i64) -> Result<Option<Verdict>, StoreError> {
        let incarnation = Incarnation(item.incarnation);
        let Some(h8) = wire::h8(&item.h) else { return Ok(None) };
        let held = start::stream(&self.begun.conn, &mut self.begun.world, fence.dev, incarnation)?;
        match held.stream.offer(item.cseq, h8) {
            Offer::Decide if held.stream.last() == 0 && !self.begin_stream(fence, incarnation) => Ok(None),
            Offer::Decide => self.decide(fence, item, h8, now_ms).map(Some),
            Offer::Stored(_) if planted("retry-sends-again") => self.decide(fence, item, h8, now_ms).map(Some),
            other => Ok(Some(self.settled(incarnation, item.cseq, other))),
        }
    }

    /// Counts a new stream of the session's device; false when there are too many.
    fn begin_stream(&mut self, fence: Fence, incarnation: Incarnation) -> bool {
        let Some(device) = self.begun.world.devices.get_mut(&fence.dev) else { return false };
        if device.newest == Some(incarnation) {
            // Begun before, but nothing was decided in it: the disk was full.
            return true;
        }
        device.streams_begun += 1;
        device.newest = Some(incarnation);
        device.dirty = true;
        self.dirty.insert(fence.dev);
        device.streams_begun <= OPEN_STREAMS_MAX
    }

    /// A stream in which nothing was decided leaves memory at once: its client may name as many as it likes.
    fn forget_empty(&mut self, dev: DevId, incarnation: Incarnation) {
        let streams = &mut self.begun.world.streams;
        if streams.get(&(dev, incarnation)).is_some_and(|held| held.stream.last() == 0) {
            streams.remove(&(dev, incarnation));
        }
    }

    /// What was settled before, or cannot be settled yet.
    fn settled(&self, incarnation: Incarnation, cseq: u64, offer: Offer) -> Verdict {
        let decided = |code, n: u64| Verdict::Decided {
            incarnation,
            cseq,
            code,
            position: (n > 0).then(|| self.begun.epochs.position(n)),
            online: false,
            audience: 0,
            missed: false,
            retry_after_ms: 0,
            stored: true,
        };
        match offer {
            Offer::Stored(decision) => decided(Code(decision.code), decision.n),
            Offer::Conflict(decision) if decision.code == Code::VOID.0 => decided(Code::VOID, 0),
            Offer::Conflict(_) => decided(Code::CONFLICT, 0),
            Offer::Lost => decided(Code::OUTCOME_LOST, 0),
            Offer::Gap { last } => Verdict::Gap { incarnation, last },
            Offer::Decide => Verdict::Gap { incarnation, last: cseq.saturating_sub(1) },
        }
    }

    /// Decides the next place of a stream and writes the decision.
    fn decide(&mut self, fence: Fence, item: &wire::Send, h8: u64, now_ms: i64) -> Result<Verdict, StoreError> {
        if !self.begun.space.admits() {
            return Ok(Verdict::TryLater { code: Code::STORAGE, after_ms: DISK_FULL_WAIT_MS });
        }
        let limited = (item.kind == kind::BROADCAST).then(|| self.spend(fence.acct, Spent::Broadcast)).flatten();
        let decided = match limited {
            Some(_) => Err(Code::LIMIT),
            None => {
                let (quota, names) = (self.quota(), self.settings.names);
                let mut facts = Now { begun: &mut self.begun, quota, names };
                message::decide(&mut facts, fence.acct, item, self.settings.text_max)?
            }
        };
        if decided == Err(Code::UNKNOWN_USER)
            && let Some(wait) = self.spend(fence.acct, Spent::UnknownRecipient)
        {
            return Ok(Verdict::TryLater { code: Code::SLOW_DOWN, after_ms: wait.min(LONGEST_WAIT_MS) });
        }
        let incarnation = Incarnation(item.incarnation);
        let row = Row { fence, incarnation, cseq: item.cseq, h8 };
        let (code, position, online, audience, missed) = match decided {
            Err(code) => {
                self.log(&row, code, Inboxes::default(), None)?;
                (code, None, false, 0, false)
            }
            Ok(accepted) => {
                let (online, audience, missed) = self.outcome(&accepted);
                let position = self.accept(&row, &accepted, item, now_ms)?;
                if let Accepted::Direct(to) = accepted {
                    self.wrote_to(fence.acct, to)?;
                }
                (Code::ACCEPTED, Some(position), online, audience, missed)
            }
        };
        Ok(Verdict::Decided {
            incarnation,
            cseq: item.cseq,
            code,
            position,
            online,
            audience,
            missed: missed && (self.settings.tell_missed || planted("missed-always-told")),
            retry_after_ms: if code == Code::INBOX_FULL { 60_000 } else { limited.unwrap_or(0) },
            stored: false,
        })
    }

    /// Takes from what a sender may do in a time (S20), or says in how many milliseconds it may again.
    pub fn spend(&mut self, acct: AcctId, what: Spent) -> Option<u64> {
        let account = self.begun.world.accounts.get_mut(&acct)?;
        let (bucket, rate) = match what {
            Spent::Broadcast => (&mut account.broadcasts, self.settings.broadcasts),
            Spent::UnknownRecipient => (&mut account.unknown_recipients, self.settings.unknown_recipients),
            Spent::PrivateRequest => (&mut account.private_requests, self.settings.private_requests),
        };
        bucket.get_or_insert(Bucket::full(rate, self.mono_ms)).take(rate, self.mono_ms).err()
    }

    fn outcome(&self, accepted: &Accepted) -> (bool, u32, bool) {
        match accepted {
            Accepted::Direct(to) => (self.begun.world.presence.is_online(*to), 0, false),
            Accepted::Broadcast { audience, missed } => (false, audience.len() as u32, *missed),
        }
    }

    /// Writes an accepted message: verdict, place and inbox entry in one row.
    fn accept(
        &mut self,
        row: &Row,
        accepted: &Accepted,
        item: &wire::Send,
        now_ms: i64,
    ) -> Result<Position, StoreError> {
        let position = self.begun.epochs.position(self.begun.next);
        let to = match accepted {
            Accepted::Direct(to) => self.name(*to)?,
            Accepted::Broadcast { .. } => String::new(),
        };
        let device = self.begun.world.devices.get(&row.fence.dev).map(|d| d.id.0.to_vec()).unwrap_or_default();
        let tail = Bytes::from(
            wire::Deliver {
                position: Some(position.into()),
                kind: item.kind,
                from: self.name(row.fence.acct)?,
                device,
                incarnation: item.incarnation,
                cseq: item.cseq,
                at_ms: now_ms,
                content_type: item.content_type.clone(),
                body: item.body.clone(),
                to,
                ..wire::Deliver::default()
            }
            .encode_to_vec(),
        );
        let (acct, audience) = match accepted {
            Accepted::Direct(to) => (Some(*to), None),
            Accepted::Broadcast { audience, .. } => (None, Some(start::encode_audience(audience))),
        };
        let from = Some(row.fence.acct);
        let several = self.begun.world.accounts.get(&row.fence.acct).is_some_and(|sender| sender.devices.len() > 1)
            || planted("own-copies-for-new-devices");
        let inboxes = Inboxes { to: acct, own: from.filter(|_| several), audience };
        let parties = inboxes.parties();
        let n = self.log(row, Code::ACCEPTED, inboxes, Some(&tail))?;
        if let Accepted::Direct(to) = accepted {
            self.await_receipt(*to, row.fence.acct, n);
        }
        self.deliver(parties, from, Entry { n, device: row.fence.dev, tail });
        Ok(position)
    }

    fn deliver(&mut self, parties: Vec<AcctId>, from: Option<AcctId>, entry: Entry) {
        // What one sends oneself, for one's other devices, takes none of one's quota.
        for party in parties.iter().filter(|party| from != Some(**party)) {
            if let Some(account) = self.begun.world.accounts.get_mut(party) {
                account.waiting.came(from);
            }
        }
        self.effects.push(Effect::Entry(parties, Arc::new(entry)));
    }

    /// An entry of the server's own in an account's inbox: in no stream, from nobody.
    pub fn notice(
        &mut self,
        acct: AcctId,
        except: DevId,
        kind: u32,
        body: Vec<u8>,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let deliver =
            wire::Deliver { kind, at_ms: now_ms, body: body.into(), to: self.name(acct)?, ..wire::Deliver::default() };
        self.own_entry(Some(acct), vec![acct], except, deliver)
    }

    /// Writes an entry of the server's own: for one account, or for an audience.
    pub fn own_entry(
        &mut self,
        acct: Option<AcctId>,
        parties: Vec<AcctId>,
        except: DevId,
        deliver: wire::Deliver,
    ) -> Result<(), StoreError> {
        let n = self.begun.next;
        let position = self.begun.epochs.position(n);
        let (incarnation, device) = (position.nonce, vec![0; 16]);
        let deliver = wire::Deliver { position: Some(position.into()), device, incarnation, cseq: n, ..deliver };
        let tail = Bytes::from(deliver.encode_to_vec());
        let audience = acct.is_none().then(|| start::encode_audience(&parties));
        self.write()?;
        self.begun.next += 1;
        self.begun
            .conn
            .prepare_cached(
                "INSERT INTO log(g, code, acct, dev, inc, cseq, h8, hour, audience, tail) VALUES(?, 0, ?, ?, 0, 0, 0, ?, ?, ?)",
            )?
            .execute(params![
                n as i64,
                acct.map(|a| a.0),
                except.0,
                self.begun.hour as i64,
                audience,
                tail.as_ref()
            ])?;
        self.deliver(parties, None, Entry { n, device: except, tail });
        Ok(())
    }

    /// Appends a decision to the log and to its stream; answers its place.
    fn log(&mut self, row: &Row, code: Code, inboxes: Inboxes, tail: Option<&[u8]>) -> Result<u64, StoreError> {
        self.write()?;
        let n = self.begun.next;
        self.begun.next += 1;
        self.begun
            .conn
            .prepare_cached(
                "INSERT INTO log(g, code, acct, frm, dev, inc, cseq, h8, hour, audience, tail, own)
                 VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                n as i64,
                code.0,
                inboxes.to.map(|a| a.0),
                row.fence.acct.0,
                row.fence.dev.0,
                row.incarnation.0 as i64,
                row.cseq as i64,
                row.h8 as i64,
                self.begun.hour as i64,
                inboxes.audience,
                tail,
                inboxes.own.is_some(),
            ])?;
        if row.cseq == 1 {
            // With the decision, not behind it: a start that knew the stream before alone would take its sender for an old copy.
            self.begun
                .conn
                .prepare_cached("UPDATE device SET newest = ? WHERE dev = ?")?
                .execute(params![row.incarnation.0 as i64, row.fence.dev.0])?;
        }
        let held = start::stream(&self.begun.conn, &mut self.begun.world, row.fence.dev, row.incarnation)?;
        held.dirty = true;
        held.stream.record(Decision { h8: row.h8, code: code.0, n: if code == Code::ACCEPTED { n } else { 0 } });
        Ok(n)
    }

    fn name(&mut self, acct: AcctId) -> Result<String, StoreError> {
        let account = start::account(&self.begun.conn, &mut self.begun.world, acct)?;
        account.map(|a| a.name.to_string()).ok_or_else(|| StoreError::Damaged(format!("account {} is missing", acct.0)))
    }

    /// Gives places up: each gets its stored verdict, or is recorded as void.
    /// What was decided about a place of the asker's own stream; no other can be named (S27).
    pub fn trace(
        &mut self,
        fence: Fence,
        incarnation: Incarnation,
        cseq: u64,
    ) -> Result<Result<wire::Traced, Fault>, StoreError> {
        if !self.owns(fence) {
            return Ok(Err(Code::REPLACED.into()));
        }
        let held = start::stream(&self.begun.conn, &mut self.begun.world, fence.dev, incarnation)?;
        let offer = held.stream.offer_void(cseq);
        self.forget_empty(fence.dev, incarnation);
        let traced = match offer {
            Offer::Stored(Decision { code, n, .. }) => {
                let position = (n > 0).then(|| self.begun.epochs.position(n).into());
                wire::Traced { decided: true, kept: true, code, position }
            }
            Offer::Lost if cseq > 0 => wire::Traced { decided: true, ..Default::default() },
            _ => wire::Traced::default(),
        };
        Ok(Ok(traced))
    }

    pub fn void(&mut self, fence: Fence, item: wire::Void) -> Result<(), StoreError> {
        if !self.owns(fence) {
            return Ok(());
        }
        let incarnation = Incarnation(item.incarnation);
        let mut verdicts = Vec::new();
        let last = item.last.min(item.first.saturating_add(chat_proto::limits::SEND_WINDOW));
        for cseq in item.first..=last {
            let held = start::stream(&self.begun.conn, &mut self.begun.world, fence.dev, incarnation)?;
            let offer = held.stream.offer_void(cseq);
            if offer == Offer::Decide {
                if held.stream.last() == 0 && !self.begin_stream(fence, incarnation) {
                    self.effects.push(Effect::End(fence.session, Code::PROTOCOL, false));
                    break;
                }
                self.log(&Row { fence, incarnation, cseq, h8: 0 }, Code::VOID, Inboxes::default(), None)?;
                let decision = Decision { h8: 0, code: Code::VOID.0, n: 0 };
                verdicts.push(self.settled(incarnation, cseq, Offer::Stored(decision)));
            } else {
                verdicts.push(self.settled(incarnation, cseq, offer));
                if matches!(offer, Offer::Gap { .. }) {
                    break;
                }
            }
        }
        self.forget_empty(fence.dev, incarnation);
        self.effects.push(Effect::Verdicts(fence.session, verdicts));
        Ok(())
    }

    /// Moves a device's cursors. Needs no flush: what a crash forgets is in the next HELLO.
    pub fn ack(&mut self, fence: Fence, acked: u64, cursor: u64) -> Result<(), StoreError> {
        if !self.owns(fence) {
            return Ok(());
        }
        if let Some(device) = self.begun.world.devices.get_mut(&fence.dev).filter(|device| acked > device.acked) {
            // What comes behind WELCOME is in its history, so what WELCOME said of missed entries is too.
            device.missed = 0;
        }
        self.seen(fence.acct, fence.dev, acked, cursor)
    }

    /// A device told what it holds: its cursors rise, never fall.
    pub fn seen(&mut self, acct: AcctId, dev: DevId, acked: u64, cursor: u64) -> Result<(), StoreError> {
        let top = self.begun.next - 1;
        let Some(device) = self.begun.world.devices.get_mut(&dev) else { return Ok(()) };
        device.acked = device.acked.max(acked.min(top));
        device.cursor = device.cursor.max(cursor.min(top));
        device.dirty = true;
        // The cursor counts too: else a sender's own rows would wait for it for ever, and fill its inbox.
        let seen = device.acked.max(device.cursor);
        self.dirty.insert(dev);
        let Some(account) = start::account(&self.begun.conn, &mut self.begun.world, acct)? else { return Ok(()) };
        if seen > account.seen_max {
            let before = std::mem::replace(&mut account.seen_max, seen);
            self.waits_no_longer(acct, before, seen)?;
            self.tell_followers(acct, seen);
        }
        Ok(())
    }

    /// Tells the followers of `reader` which of their own messages it has now; none whom it blocks, and none that left. That it
    /// received anything else is not their business.
    fn tell_followers(&mut self, reader: AcctId, seen: u64) {
        let world = &mut self.begun.world;
        let Some(account) = world.accounts.get_mut(&reader) else { return };
        let presence = &world.presence;
        account.followers.retain(|follower, _| presence.is_online(*follower));
        for (follower, waiting) in &mut account.followers {
            let has = waiting.partition_point(|n| *n <= seen);
            if let Some(delivered) = waiting.drain(..has).next_back()
                && !account.blocks.contains(follower)
            {
                let receipt = wire::Receipt { account: account.name.to_string(), delivered, read: 0 };
                self.effects.push(Effect::Receipt(*follower, receipt));
            }
        }
    }

    /// A message of somebody who may follow its recipient.
    fn await_receipt(&mut self, reader: AcctId, sender: AcctId, n: u64) {
        let account = self.begun.world.accounts.get_mut(&reader);
        if let Some(waiting) = account.and_then(|account| account.followers.get_mut(&sender)) {
            if waiting.len() >= RECEIPTS_WAITING {
                waiting.pop_front();
            }
            waiting.push_back(n);
        }
    }

    /// Places of the sender's messages that wait for a reader, the newest ones where there are many.
    pub fn awaited(&self, reader: AcctId, sender: AcctId, seen: u64) -> Result<VecDeque<u64>, StoreError> {
        let begun = &self.begun;
        let mut folded = begun.conn.prepare_cached(
            "SELECT l.g FROM (SELECT g FROM pend WHERE acct = ?1 AND g > ?2 ORDER BY g DESC LIMIT ?4) p
             JOIN log l ON l.g = p.g WHERE l.frm = ?3 AND l.acct = ?1 ORDER BY l.g",
        )?;
        let rows = folded
            .query_map(params![reader.0, seen as i64, sender.0, AWAITED_LOOKED_AT], |row| row.get::<_, i64>(0))?;
        let mut places = rows.map(|g| g.map(|g| g as u64)).collect::<Result<VecDeque<u64>, _>>()?;
        // What is not folded yet: what was told of, and what this round accepted.
        let told = self.shared.unfolded.lock().unwrap_or_else(PoisonError::into_inner).get(&reader).cloned();
        let accepted = self.effects.iter().filter_map(|effect| match effect {
            Effect::Entry(parties, entry) if parties.contains(&reader) => Some(entry.n),
            _ => None,
        });
        let mut from = begun.conn.prepare_cached("SELECT 1 FROM log WHERE g = ? AND frm = ? AND acct = ?")?;
        let last = places.back().copied().unwrap_or(seen).max(begun.folded);
        for n in told.into_iter().flatten().chain(accepted).filter(|n| *n > last) {
            if places.back().is_none_or(|back| n > *back) && from.exists(params![n as i64, sender.0, reader.0])? {
                places.push_back(n);
            }
        }
        places.drain(..places.len().saturating_sub(RECEIPTS_WAITING));
        Ok(places)
    }

    /// Tells a sender that its message expired, unless the sender is gone itself.
    pub fn tell_expired(&mut self, sender: AcctId, mid: wire::Expired, now_ms: i64) -> Result<(), StoreError> {
        if start::account(&self.begun.conn, &mut self.begun.world, sender)?.is_none() {
            return Ok(());
        }
        self.notice(sender, DevId(0), kind::EXPIRED, mid.encode_to_vec(), now_ms)
    }
}

/// What a sender has only so much of.
#[derive(Clone, Copy)]
pub enum Spent {
    Broadcast,
    UnknownRecipient,
    PrivateRequest,
}

/// The place that a log row decides.
struct Row {
    fence: Fence,
    incarnation: Incarnation,
    cseq: u64,
    h8: u64,
}

/// The facts of the present transaction.
struct Now<'a> {
    begun: &'a mut Begun,
    quota: Quota,
    names: NameRule,
}

impl Facts for Now<'_> {
    type Error = StoreError;

    fn account(&mut self, name: &str) -> Result<Option<AcctId>, StoreError> {
        let Ok(exact) = AccountName::try_from(name.to_owned()) else { return Ok(None) };
        if let Some(found) = start::account_by_name(&self.begun.conn, &mut self.begun.world, &exact)? {
            return Ok(Some(found));
        }
        if self.names == NameRule::Classic {
            return Ok(None);
        }
        let folded = name.to_ascii_lowercase();
        match AccountName::try_from(folded) {
            Ok(folded) if folded != exact => start::account_by_name(&self.begun.conn, &mut self.begun.world, &folded),
            _ => Ok(None),
        }
    }

    fn blocks(&mut self, by: AcctId, who: AcctId) -> Result<bool, StoreError> {
        start::account(&self.begun.conn, &mut self.begun.world, by)?;
        Ok(self.begun.world.blocks(by, who))
    }

    fn has_room(&mut self, account: AcctId, sender: AcctId) -> Result<bool, StoreError> {
        waiting::has_room(self.begun, self.quota, account, sender)
    }

    fn online(&mut self) -> Vec<AcctId> {
        self.begun.world.presence.all().collect()
    }
}
