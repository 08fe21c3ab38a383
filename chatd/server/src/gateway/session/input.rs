//! What a session is told by its client: sends are gathered and handed to the store together, questions are answered.

use std::time::Duration;

use bytes::Bytes;
use chat_proto::fault::{Code, Fault};
use chat_proto::frame::Frame;
use chat_proto::id::{AccountName, DeviceId, Incarnation, Position};
use chat_proto::machine::inbox::Feed;
use chat_proto::machine::presence::Reason;
use chat_proto::method::{self, Tag4};
use chat_proto::{limits, status, wire};
use prost::Message;
use tokio::sync::{mpsc, oneshot};
use zeroize::Zeroizing;

use super::{End, HowEnded, Session};
use crate::source::Source;
use crate::store::{Ending, Enrolled, Op, Query, Revoke, Store};
use crate::sync::lock;

/// Sends that a client may have had on the way when it was told to try later: a window of the stream that it is in, and of the
/// next.
const ON_THE_WAY: u64 = 2 * limits::SEND_WINDOW;

/// What a turn's frames come to.
#[derive(Default)]
struct Gathered {
    sends: Vec<wire::Send>,
    acked: bool,
}

/// A request that may be refused, or that breaks the protocol.
pub(super) enum Failure {
    Refused(Fault),
    Over(End),
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Failure {
        Failure::Refused(fault)
    }
}

impl From<Code> for Failure {
    fn from(code: Code) -> Failure {
        Failure::Refused(code.into())
    }
}

impl From<End> for Failure {
    fn from(end: End) -> Failure {
        Failure::Over(end)
    }
}

impl<S: Store> Session<S> {
    /// Takes a frame and all others that are here already.
    pub(super) async fn take_in(&mut self, first: Frame) -> Result<(), End> {
        let mut gathered = Gathered::default();
        let mut next = Some(first);
        while let Some(frame) = next {
            self.handle(frame, &mut gathered).await?;
            if self.is_stalled() || self.pause().is_some() {
                break;
            }
            next = self.link.try_recv()?;
        }
        self.pass_on(&mut gathered).await;
        self.tell_far_cursor().await;
        Ok(())
    }

    /// Hands what was gathered to the store, which waits while its queue is full: so does this client.
    async fn pass_on(&mut self, gathered: &mut Gathered) {
        if std::mem::take(&mut gathered.acked) {
            self.submit_ack().await;
        }
        if !gathered.sends.is_empty() {
            let items = std::mem::take(&mut gathered.sends);
            self.undecided += items.len();
            let now_ms = self.gateway.clock.wall_ms();
            self.gateway.store.submit(Op::Send { fence: self.fence, items, now_ms }).await;
        }
    }

    async fn handle(&mut self, frame: Frame, gathered: &mut Gathered) -> Result<(), End> {
        match frame.name {
            method::SEND => self.send(&frame, gathered),
            method::ACK => self.ack(&frame, gathered),
            method::PING => {
                decode::<wire::Empty>(&frame.body)?;
                self.link.queue(&Frame::new(method::PONG, frame.tag, &wire::Empty {}));
                Ok(())
            }
            method::PONG => decode::<wire::Empty>(&frame.body).map(|_| ()),
            method::FETCH => self.fetch(&frame),
            method::VOID => {
                self.pass_on(gathered).await;
                self.void(&frame).await
            }
            _ => {
                // Everything else takes its place behind what came before it (contract rule 11).
                self.pass_on(gathered).await;
                self.request(frame).await
            }
        }
    }

    fn send(&mut self, frame: &Frame, gathered: &mut Gathered) -> Result<(), End> {
        let item: wire::Send = decode(&frame.body)?;
        self.mailbox.active(self.gateway.clock.mono_ms());
        if self.may_send()? {
            self.mailbox.count_sent();
            gathered.sends.push(item);
        }
        Ok(())
    }

    /// Whether the account's rate lets another place through; one that it does not is dropped, and the client told to try later.
    /// One that sends on and on as if it had not been told is ended (S20).
    fn may_send(&mut self) -> Result<bool, End> {
        let now = self.gateway.clock.mono_ms();
        if now < self.quiet_until {
            self.ignored += 1;
            return Ok(false);
        }
        if self.quiet_until > 0 {
            self.floods = if self.ignored > ON_THE_WAY { self.floods + 1 } else { 0 };
            (self.quiet_until, self.ignored) = (0, 0);
            if self.floods >= limits::FLOODS_IN_A_ROW {
                return Err(End::Over { code: Code::SLOW_DOWN, may_reconnect: true, how: Some(HowEnded::Lost) });
            }
        }
        let rate = self.gateway.live.get().sessions.sending;
        let taken = lock(&self.sending).take(rate, now).is_ok();
        if !taken {
            self.tell_later(Code::SLOW_DOWN, pause_ms(rate.burst, rate.per_second));
        }
        Ok(taken)
    }

    /// How long nothing is read from a client that sends on though it was told to try later: until it may send again. What it
    /// says meanwhile fills its own buffers.
    pub(super) fn pause(&self) -> Option<Duration> {
        let left = self.quiet_until.saturating_sub(self.gateway.clock.mono_ms());
        (self.ignored > ON_THE_WAY && left > 0).then(|| Duration::from_millis(left))
    }

    fn ack(&mut self, frame: &Frame, gathered: &mut Gathered) -> Result<(), End> {
        let n = self.known(decode::<wire::Ack>(&frame.body)?.position)?;
        gathered.acked |= self.feed.ack(n).map_err(|_| End::protocol())?;
        Ok(())
    }

    fn fetch(&mut self, frame: &Frame) -> Result<(), End> {
        let from = decode::<wire::Fetch>(&frame.body)?.from;
        let n = self.known(from)?;
        let mut feed: Feed = self.feed.clone();
        feed.rewind(n).map_err(|_| End::protocol())?;
        self.feed = feed;
        self.start = (n, from.map(Position::from).unwrap_or_default());
        self.catching = true;
        Ok(())
    }

    /// A place that this server gave (S26).
    fn known(&self, position: Option<wire::Position>) -> Result<u64, End> {
        let position = Position::from(position.ok_or(End::protocol())?);
        if position == self.start.1 {
            return Ok(self.start.0);
        }
        if self.epochs.knows(position) { Ok(position.n) } else { Err(End::protocol()) }
    }

    /// Answers a request; a refusal is an answer, a broken body is the end.
    async fn request(&mut self, frame: Frame) -> Result<(), End> {
        let tag = frame.tag;
        match self.answer(frame).await {
            Ok(body) => {
                self.link.queue(&Frame { name: status::CONFIRMATION, tag, body });
                Ok(())
            }
            Err(Failure::Refused(fault)) => {
                self.link.queue(&Frame::new(status::ERROR, tag, &wire::Refusal::from(fault)));
                Ok(())
            }
            Err(Failure::Over(end)) => Err(end),
        }
    }

    async fn answer(&mut self, frame: Frame) -> Result<Bytes, Failure> {
        let body = &frame.body;
        if is_activity(frame.name) {
            self.mailbox.active(self.gateway.clock.mono_ms());
        }
        match frame.name {
            method::MARK => self.mark(decode(body)?).await,
            method::TRACE => self.trace(decode(body)?).await,
            method::RECEIPT => self.follow(decode(body)?).await,
            method::WHOELSE => self.whoelse(decode(body)?).await,
            method::WHOELSESINCE => self.whoelsesince(decode(body)?).await,
            method::BLOCK => self.block(decode(body)?, true).await,
            method::UNBLOCK => self.block(decode(body)?, false).await,
            method::BLOCKED => {
                decode::<wire::Empty>(body)?;
                self.blocked().await
            }
            method::PASSWORD => self.change_password(decode(body)?).await,
            method::DEVICES => {
                decode::<wire::Empty>(body)?;
                self.devices().await
            }
            method::REVOKE => self.revoke(&decode(body)?).await,
            method::ACTIVE => {
                decode::<wire::Empty>(body)?;
                Ok(Bytes::new())
            }
            method::PRIVATE_ASK => self.private_ask(decode(body)?).await,
            method::PRIVATE_ANSWER => self.private_answer(decode(body)?).await,
            method::PRIVATE_CANCEL => self.private_cancel(&decode(body)?).await,
            method::PRIVATE_MOVE => self.private_move(decode(body)?).await,
            method::LOGOUT => self.logout(frame.tag, decode(body)?).await,
            name if is_server_only(name) => {
                // A forged copy, receipt or notice (S14).
                let peer = self.link.peer_addr();
                let name = self.login.name.as_str();
                self.gateway.audit.line(peer, name, format_args!("forged frame: account {name}"));
                Err(Code::FORBIDDEN.into())
            }
            _ => Err(Code::UNSUPPORTED.into()),
        }
    }

    /// Answered by verdicts, as sends are.
    async fn void(&mut self, frame: &Frame) -> Result<(), End> {
        let item: wire::Void = decode(&frame.body)?;
        if self.may_send()? {
            self.gateway.store.submit(Op::Void { fence: self.fence, item }).await;
        }
        Ok(())
    }

    async fn mark(&mut self, mark: wire::Mark) -> Result<Bytes, Failure> {
        let sender = self.named(&mark.account)?;
        let n = self.known(mark.position)?;
        let (answer, done) = oneshot::channel();
        self.gateway.store.submit(Op::Mark { fence: self.fence, sender, n, share: mark.share, answer }).await;
        done.await.map_err(|_| End::storage())??;
        Ok(Bytes::new())
    }

    async fn trace(&mut self, trace: wire::Trace) -> Result<Bytes, Failure> {
        let (answer, done) = oneshot::channel();
        let incarnation = Incarnation(trace.incarnation);
        self.gateway.store.submit(Op::Trace { fence: self.fence, incarnation, cseq: trace.cseq, answer }).await;
        let traced = done.await.map_err(|_| End::storage())??;
        Ok(traced.encode_to_vec().into())
    }

    async fn follow(&mut self, follow: wire::Follow) -> Result<Bytes, Failure> {
        let accounts: Vec<AccountName> =
            follow.accounts.iter().filter_map(|name| self.gateway.accounts.look_up(name)).collect();
        let accounts = self.mailbox.follow(accounts).ok_or(Code::LIMIT)?;
        let (answer, done) = oneshot::channel();
        self.gateway.store.submit(Op::Follow { fence: self.fence, accounts, answer }).await;
        let receipts = done.await.map_err(|_| End::storage())??;
        Ok(receipts.encode_to_vec().into())
    }

    async fn whoelse(&mut self, query: wire::PeopleQuery) -> Result<Bytes, Failure> {
        let (answer, page) = oneshot::channel();
        let (caller, limit) = (self.login.acct, limits::PEOPLE_PAGE);
        self.gateway.store.query(Query::Whoelse { caller, after: query.after, limit, answer });
        self.people(page).await
    }

    async fn whoelsesince(&mut self, query: wire::PeopleQuery) -> Result<Bytes, Failure> {
        let back = i64::try_from(query.seconds.saturating_mul(1000)).unwrap_or(i64::MAX);
        let since_ms = self.gateway.clock.wall_ms().saturating_sub(back);
        let from_start = self.gateway.live.get().sessions.seen_since_start;
        let since_ms = if from_start { since_ms.max(self.gateway.started_ms) } else { since_ms };
        let (answer, page) = oneshot::channel();
        let (caller, limit) = (self.login.acct, limits::PEOPLE_PAGE);
        self.gateway.store.query(Query::Whoelsesince { caller, since_ms, after: query.after, limit, answer });
        self.people(page).await
    }

    async fn people(&self, page: oneshot::Receiver<wire::People>) -> Result<Bytes, Failure> {
        let mut people = page.await.map_err(|_| End::storage())?;
        let idle_ms = u64::try_from(self.gateway.live.get().sessions.idle_after.as_millis()).unwrap_or(u64::MAX);
        if let Some(since) = self.gateway.clock.mono_ms().checked_sub(idle_ms) {
            self.gateway.directory.mark_away(&mut people, since);
        }
        Ok(people.encode_to_vec().into())
    }

    async fn block(&mut self, account: wire::Account, on: bool) -> Result<Bytes, Failure> {
        let who = self.named(&account.account)?;
        let (answer, done) = oneshot::channel();
        self.gateway.store.submit(Op::Block { fence: self.fence, who, on, answer }).await;
        let changed = done.await.map_err(|_| End::storage())??;
        Ok(wire::BlockChanged { changed }.encode_to_vec().into())
    }

    async fn blocked(&mut self) -> Result<Bytes, Failure> {
        let (answer, names) = oneshot::channel();
        self.gateway.store.query(Query::Blocked(self.login.acct, answer));
        let accounts = names.await.map_err(|_| End::storage())?.into_iter().map(String::from).collect();
        Ok(wire::Blocked { accounts }.encode_to_vec().into())
    }

    async fn change_password(&mut self, ask: wire::NewPassword) -> Result<Bytes, Failure> {
        let passwords = (Zeroizing::new(ask.old), Zeroizing::new(ask.new));
        let revoke = if ask.revoke_others { Revoke::Others(self.fence.dev) } else { Revoke::None };
        let (peer, name) = (self.link.peer_addr(), &self.login.name);
        let accounts = &self.gateway.accounts;
        let done = accounts.change_password(Source::of(peer.ip()), name, self.fence, passwords, revoke).await;
        match &done {
            Ok(revoked) => {
                let changed = format_args!("password changed, {revoked} devices revoked: account {name}");
                self.gateway.audit.line(peer, name.as_str(), changed);
            }
            Err(fault) => {
                let refused = format_args!("password change refused, {}: account {name}", fault.code.name());
                self.gateway.audit.line(peer, name.as_str(), refused);
            }
        }
        Ok(wire::PasswordChanged { revoked: done? }.encode_to_vec().into())
    }

    async fn devices(&mut self) -> Result<Bytes, Failure> {
        let (answer, found) = oneshot::channel();
        self.gateway.store.query(Query::Devices(self.login.acct, answer));
        let found = found.await.map_err(|_| End::storage())?;
        let here = self.gateway.directory.of(self.login.acct);
        let device = |device: Enrolled| wire::Device {
            device_id: device.id.0.to_vec(),
            name: device.name,
            since_ms: device.since_ms,
            seen_ms: device.seen_ms,
            online: here.iter().any(|mailbox| mailbox.login().dev == device.dev),
            own: device.dev == self.login.dev,
        };
        Ok(wire::Devices { items: found.into_iter().map(device).collect() }.encode_to_vec().into())
    }

    async fn revoke(&mut self, ask: &wire::Revoke) -> Result<Bytes, Failure> {
        let device = DeviceId::try_from(ask.device_id.as_slice()).map_err(|_| End::protocol())?;
        let (answer, done) = oneshot::channel();
        self.gateway.store.submit(Op::Revoke { fence: self.fence, device, answer }).await;
        done.await.map_err(|_| End::storage())??;
        let (peer, name) = (self.link.peer_addr(), self.login.name.as_str());
        self.gateway.audit.line(peer, name, format_args!("device {device} revoked: account {name}"));
        Ok(Bytes::new())
    }

    /// Ends the session on purpose: behind its sends, answered after their verdicts (contract rule 11).
    async fn logout(&mut self, tag: u32, logout: wire::Logout) -> Result<Bytes, Failure> {
        self.tell_cursor().await;
        let (answer, done) = oneshot::channel();
        let close = Op::Close {
            fence: self.fence,
            how: Ending::Left(Reason::Logout),
            all_devices: logout.all_devices,
            now_ms: self.gateway.clock.wall_ms(),
            answer: Some(answer),
        };
        self.gateway.store.submit(close).await;
        done.await.map_err(|_| End::storage())??;
        self.tell_verdicts();
        self.link.queue(&Frame::new(status::CONFIRMATION, tag, &wire::Empty {}));
        Err(End::Over { code: Code::ACCEPTED, may_reconnect: false, how: None }.into())
    }

    pub(super) fn named(&self, text: &str) -> Result<AccountName, Code> {
        self.gateway.accounts.look_up(text).ok_or(Code::UNKNOWN_USER)
    }

    /// Somebody wants to know whether the client lives: it is asked, and everybody is told once it is heard.
    pub(super) fn timing_probe(&mut self, probes: Vec<mpsc::Sender<()>>) {
        self.ping();
        self.probes.extend(probes);
    }
}

/// What counts as something that the user did (mission rule 7).
fn is_activity(name: Tag4) -> bool {
    [
        method::WHOELSE,
        method::WHOELSESINCE,
        method::BLOCK,
        method::UNBLOCK,
        method::PASSWORD,
        method::REVOKE,
        method::LOGOUT,
        method::ACTIVE,
        method::PRIVATE_ASK,
        method::PRIVATE_ANSWER,
        method::PRIVATE_CANCEL,
    ]
    .contains(&name)
}

/// Frames that only a server sends.
fn is_server_only(name: Tag4) -> bool {
    [method::VERDICT, method::GAP, method::TRY_LATER, method::DELIVER, method::GONE, method::PRESENCE, method::PRIVATE]
        .contains(&name)
        || status::ALL.contains(&name)
}

/// A body that cannot be read is the end (S15).
fn decode<M: Message + Default>(body: &Bytes) -> Result<M, End> {
    M::decode(body.clone()).map_err(|_| End::protocol())
}

/// Who is over the limit waits until a good part of a burst is there again: trying for each single token would cost both
/// sides more than the message (S20).
fn pause_ms(burst: f64, per_second: f64) -> u64 {
    let tokens = burst.min(per_second).max(1.0);
    let longest = u64::try_from(limits::TRY_LATER_MAX.as_millis()).unwrap_or(u64::MAX);
    ((tokens / per_second * 1000.0).ceil() as u64).min(longest)
}
