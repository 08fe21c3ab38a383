//! An open connection: HELLO and WELCOME, requests and their answers, what the server pushes, and whether it lives.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use bytes::Bytes;
use chat_link::{Link, LinkError};
use chat_proto::control::ErrorData;
use chat_proto::control::account::Problem;
use chat_proto::fault::{Code, Fault};
use chat_proto::frame::Frame;
use chat_proto::id::{Incarnation, Position};
use chat_proto::limits::{
    AUTH_WITHIN, BACKOFF_MIN, LINK_OUTPUT_MAX, OPEN_STREAMS_MAX, OUTPUT_MAX, PING_AFTER, PONG_WITHIN,
    RECEIPTS_FOLLOWED, SLOW_READER, TEXT_MAX, TRY_LATER_MAX,
};
use chat_proto::machine::hello::{Epoch, Epochs};
use chat_proto::machine::inbox::Follower;
use chat_proto::machine::outbox::{Entry, Remembered, Reoffer};
use chat_proto::method::{self, Tag4};
use chat_proto::{status, wire};
use prost::Message;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Answer;
use super::login::problem;
use super::owner::{Loaded, Owner, Then};
use crate::history::{Mark, Place, Trouble, Unsure, Verdict, Write};
use crate::upstream;

/// What an answer of the server is for.
pub(super) enum Pending {
    /// HELLO.
    Hello,
    /// A call of the user.
    Call(oneshot::Sender<Answer<Bytes>>),
    /// A mark to be confirmed.
    Mark(Mark),
    /// Receipts to be followed.
    Receipts,
    /// A logout.
    Logout,
}

/// What a session has for its owner.
pub(super) enum Next {
    /// A frame of the server; nothing at its goodbye.
    Frame(Option<Frame>),
    /// What was queued left: there is room for what waits.
    Room,
}

/// A connection that is logged in.
pub(super) struct Session {
    pub link: Link,
    /// WELCOME came.
    pub welcomed: bool,
    /// The streams that HELLO named.
    named: Vec<Incarnation>,
    /// Bytes of the largest text that the server takes.
    pub text_max: usize,
    /// The server's starts: which positions it knows.
    pub epochs: Epochs,
    /// HELLO was said.
    greeted: bool,
    heard: Instant,
    pinged: Option<Instant>,
    missed: u32,
    /// Since when the server takes nothing of an output that is too long, and how much it had taken before.
    stuck: Option<(Instant, u64)>,
    tag: u32,
    pending: HashMap<u32, Pending>,
}

impl Session {
    pub fn new(link: Link) -> Session {
        Session {
            link,
            welcomed: false,
            named: Vec::new(),
            text_max: TEXT_MAX,
            epochs: Epochs::default(),
            greeted: false,
            heard: Instant::now(),
            pinged: None,
            missed: 0,
            stuck: None,
            tag: 100,
            pending: HashMap::new(),
        }
    }

    /// When the other side's silence is to be looked at.
    pub fn deadline(&self) -> Instant {
        let silent = match self.pinged {
            _ if !self.welcomed => self.heard + AUTH_WITHIN,
            Some(at) => at + PONG_WITHIN,
            None => self.heard + PING_AFTER,
        };
        self.stuck.map_or(silent, |(since, _)| silent.min(since + SLOW_READER))
    }

    /// Whether texts may follow. What stands in the output leaves first: a server that has not read it may ask for all of it again.
    pub fn has_room(&self) -> bool {
        self.link.queued() <= OUTPUT_MAX
    }

    /// Whether the server is listened to. Not at [`OUTPUT_MAX`] already: the server does not read beyond that either, and both would wait.
    pub fn listens(&self) -> bool {
        self.link.queued() <= LINK_OUTPUT_MAX
    }

    /// Waits for what comes next, and meanwhile writes. May be dropped and called again.
    pub async fn next(&mut self) -> Result<Next, LinkError> {
        let (full, deaf) = (!self.has_room(), !self.listens());
        poll_fn(|cx| {
            if deaf {
                if let Poll::Ready(flushed) = pin!(self.link.flush()).poll(cx) {
                    flushed?;
                }
            } else if let Poll::Ready(frame) = pin!(self.link.recv_while_flushing()).poll(cx) {
                return Poll::Ready(Ok(Next::Frame(frame?)));
            }
            let room = (full && self.has_room()) || (deaf && self.listens());
            if room { Poll::Ready(Ok(Next::Room)) } else { Poll::Pending }
        })
        .await
    }

    /// Notes whether the server takes anything of an output that is too long; false when it did not for too long (S21).
    pub fn takes(&mut self, now: Instant) -> bool {
        let written = self.link.written();
        match self.stuck {
            _ if self.listens() => self.stuck = None,
            Some((since, before)) if before == written => return now < since + SLOW_READER,
            _ => self.stuck = Some((now, written)),
        }
        true
    }

    fn ask(&mut self, name: Tag4, body: Bytes, pending: Option<Pending>) {
        self.tag = self.tag.wrapping_add(1).max(1);
        self.link.queue(&Frame { name, tag: self.tag, body });
        if let Some(pending) = pending {
            self.pending.insert(self.tag, pending);
        }
    }
}

impl Owner {
    /// Opens the session, once it is known whose places the history holds, and nothing that it tells is about to change.
    pub fn hello(&mut self) {
        let Some(session) = self.session.as_mut().filter(|session| !session.greeted && self.unfinished == 0) else {
            return;
        };
        session.greeted = true;
        session.named = self.outbox.streams().map(|(incarnation, _)| incarnation).collect();
        let streams = self
            .outbox
            .streams()
            .map(|(incarnation, settled)| wire::OpenStream { incarnation: incarnation.0, settled });
        let hello = wire::Hello {
            run: self.around.run,
            streams: streams.collect(),
            cursor: self.inbox.cursor.map(Into::into),
            known: self.known.iter().map(|incarnation| incarnation.0).collect(),
        };
        self.request(method::HELLO, hello.encode_to_vec().into(), Pending::Hello);
    }

    /// Sends a request on the session, if there is one.
    pub fn request(&mut self, name: Tag4, body: Bytes, pending: Pending) {
        if let Some(session) = &mut self.session {
            session.ask(name, body, Some(pending));
        }
    }

    /// Sends a request whose answer nobody waits for.
    pub fn notify(&mut self, name: Tag4, body: &impl Message) {
        if self.online().is_some()
            && let Some(session) = &mut self.session
        {
            session.ask(name, body.encode_to_vec().into(), None);
        }
    }

    /// Sends something that has no answer of its own.
    pub fn push(&mut self, name: Tag4, body: &impl Message) {
        if let Some(session) = &mut self.session {
            session.link.queue(&Frame::new(name, 0, body));
        }
    }

    /// A call of the user: now, or as soon as the link is up, or not.
    pub fn call(&mut self, name: Tag4, body: Bytes, pending: Pending) {
        if self.online().is_some() {
            self.request(name, body, pending);
        } else if self.hurry(BACKOFF_MIN) {
            self.parked.push((name, body, pending));
        } else if self.entry.logged_in {
            refuse(pending, &self.unreachable());
        } else {
            refuse(pending, &self.not_logged_in());
        }
    }

    /// The refusal while the link is down.
    pub fn unreachable(&self) -> ErrorData {
        ErrorData {
            retry_after_ms: self.retry_after_ms(),
            detail: self.cause.as_ref().and_then(|cause| cause.subject.clone()),
            ..Code::SERVER_UNREACHABLE.into()
        }
    }

    /// One frame of the server.
    pub fn frame(&mut self, frame: Frame) {
        let Some(session) = &mut self.session else { return };
        session.heard = Instant::now();
        session.missed = 0;
        if frame.name != method::PONG {
            // Whatever it says, it lives; the round trip of this PING is not measured then.
            session.pinged = None;
        }
        let done = match frame.name {
            status::CONFIRMATION | status::ERROR => self.answered(frame),
            status::END => self.bye(&frame.body),
            method::PING => {
                session.link.queue(&Frame { name: method::PONG, tag: frame.tag, body: Bytes::new() });
                Ok(())
            }
            method::PONG => {
                let since = session.pinged.take().map(|at| at.elapsed().as_millis());
                self.rtt_ms = since.and_then(|ms| u64::try_from(ms).ok()).or(self.rtt_ms);
                self.tries = 0;
                Ok(())
            }
            _ => self.pushed(&frame),
        };
        if let Err(error) = done {
            self.lost(&format!("the server's bytes make no sense: {error}"));
        }
    }

    fn pushed(&mut self, frame: &Frame) -> Result<(), prost::DecodeError> {
        let body = frame.body.clone();
        match frame.name {
            method::VERDICT => self.verdicts(wire::Verdict::decode(body)?),
            method::GAP => self.gap(&wire::Gap::decode(body)?),
            method::TRY_LATER => self.try_later(wire::TryLater::decode(body)?),
            method::DELIVER => self.deliver(wire::Deliver::decode(body)?),
            method::GONE => self.gone(wire::Gone::decode(body)?),
            method::RECEIPT => self.receipts(wire::Receipts::decode(body)?),
            method::MARK => self.marked_elsewhere(wire::Mark::decode(body)?),
            method::PRESENCE => self.presence(&wire::Presence::decode(body)?),
            method::PRIVATE => self.private_notice(wire::PrivateNotice::decode(body)?),
            // A newer server may push what this build does not know.
            _ => tracing::debug!("a push of an unknown kind"),
        }
        Ok(())
    }

    fn answered(&mut self, frame: Frame) -> Result<(), prost::DecodeError> {
        let Some(pending) = self.session.as_mut().and_then(|s| s.pending.remove(&frame.tag)) else { return Ok(()) };
        if frame.name == status::ERROR {
            let fault: Fault = wire::Refusal::decode(frame.body)?.into();
            self.refused(pending, &fault);
            return Ok(());
        }
        match pending {
            Pending::Hello => self.welcome(wire::Welcome::decode(frame.body)?),
            Pending::Call(reply) => {
                let _ = reply.send(Ok(Bytes::copy_from_slice(&frame.body)));
            }
            Pending::Mark(mark) => self.mark_confirmed(mark),
            Pending::Receipts => self.receipts(wire::Receipts::decode(frame.body)?),
            Pending::Logout => self.left(true),
        }
        Ok(())
    }

    fn refused(&mut self, pending: Pending, fault: &Fault) {
        let error = upstream::fault(fault);
        match pending {
            Pending::Hello => {
                self.drop_session();
                self.login_failed(&error);
                self.not_connected(&error);
            }
            // A mark that can never be taken is not repeated for ever.
            Pending::Mark(mark) if fault.code.blame() == chat_proto::fault::Blame::Caller => self.mark_confirmed(mark),
            Pending::Mark(_) | Pending::Receipts => {}
            Pending::Logout => self.left(false),
            call @ Pending::Call(_) => refuse(call, &error),
        }
    }

    fn welcome(&mut self, welcome: wire::Welcome) {
        let Some(session) = &mut self.session else { return };
        session.welcomed = true;
        session.text_max = usize::try_from(welcome.text_max).unwrap_or(TEXT_MAX).clamp(1, TEXT_MAX);
        let epoch = |e: &wire::Epoch| Epoch { epoch: e.epoch, nonce: e.nonce, first: e.first };
        session.epochs = Epochs(welcome.epochs.iter().map(epoch).collect());
        let remembered: Vec<Remembered> = welcome.streams.iter().map(remembered).collect();
        let (settles, forgotten) = self.outbox.handle_welcome(&remembered);
        let verdicts: Vec<Verdict> = settles
            .into_iter()
            .map(|settle| Verdict { sending: None, settle, online: false, audience: 0, missed: false })
            .collect();
        self.settle(verdicts, HashMap::new());
        self.reoffer(forgotten);
        self.reconcile(&welcome.epochs);
        let cursor: Position = welcome.cursor.unwrap_or_default().into();
        self.follower = Follower::start(cursor);
        self.resume_inbox(cursor, welcome.resync, welcome.now_ms);
        self.problems.retain(|problem| problem.code != Code::DUPLICATE_DEVICE);
        if welcome.copy {
            tracing::warn!(profile = self.name, "an old copy of this device's data is running");
            self.problems.push(Problem { code: Code::DUPLICATE_DEVICE, subject: Some(self.entry.device.clone()) });
        }
        self.repeat_marks();
        self.followed.clear();
        self.to_follow.clear();
        self.load_awaited();
        self.unpark();
        tracing::info!(profile = self.name, "online");
        self.logged_in(welcome.head.map_or(0, |head| head.n));
    }

    fn load_awaited(&self) {
        let (reader, loads, session) = (self.reader.clone(), self.loads.clone(), self.sessions);
        tokio::spawn(async move {
            let people = reader.ask(|history| history.awaited(RECEIPTS_FOLLOWED)).await;
            let _ = loads.send(Loaded::Awaited { session, people });
        });
    }

    /// A server that started since may have been set back: what it had accepted from earlier runs is looked for (contract
    /// rule 3).
    fn reconcile(&mut self, epochs: &[wire::Epoch]) {
        let epochs: Vec<Epoch> =
            epochs.iter().map(|e| Epoch { epoch: e.epoch, nonce: e.nonce, first: e.first }).collect();
        let Some(&epoch) = epochs.last().filter(|e| self.seen != Some((e.epoch, e.nonce))) else { return };
        self.reconciling = true;
        let (reader, loads, session) = (self.reader.clone(), self.loads.clone(), self.sessions);
        tokio::spawn(async move {
            let streams = reader.ask(move |history| history.lost(&Epochs(epochs))).await;
            let _ = loads.send(Loaded::Lost { session, epoch, streams });
        });
    }

    /// It is known what this start of the server lost: nothing; or places that are being offered again; or streams that
    /// another HELLO must name first.
    pub fn reconciled(&mut self, epoch: Epoch, streams: Result<Vec<Unsure>, Trouble>) {
        let mut streams = match streams {
            Ok(streams) => streams,
            Err(error) => return self.lost(&error.to_string()),
        };
        // The oldest first; a HELLO has room for so many beside the newest.
        streams.truncate(OPEN_STREAMS_MAX / 2);
        let named = self.session.as_ref().map(|session| session.named.as_slice()).unwrap_or_default();
        let unnamed = streams.iter().any(|s| s.lost && !named.contains(&s.incarnation));
        if unnamed && self.leaving.is_none() {
            tracing::warn!(profile = self.name, "the server was restored: naming what it may have lost");
            self.outbox.handle_remembered(streams.iter().map(|s| (s.incarnation, s.top)));
            self.drop_session();
            return self.connect_by_key();
        }
        self.reconciling = false;
        if !streams.iter().any(|s| s.lost) {
            self.seen = Some((epoch.epoch, epoch.nonce));
            self.submit(Write::Seen(epoch), Then::Nothing);
        }
        self.unpark();
    }

    /// What was asked while the link was down.
    fn unpark(&mut self) {
        if self.online().is_some() {
            for (name, body, pending) in std::mem::take(&mut self.parked) {
                self.request(name, body, pending);
            }
            self.private_welcome();
        }
    }

    /// What the server forgot is read from the history and offered again, before anything new (contract rule 3).
    fn reoffer(&mut self, forgotten: Vec<Reoffer>) {
        self.reoffering = forgotten.len();
        for reoffer in forgotten {
            tracing::warn!(
                profile = self.name,
                first = reoffer.first,
                last = reoffer.last,
                "the server was restored: offering again"
            );
            let (reader, loads, session) = (self.reader.clone(), self.loads.clone(), self.sessions);
            tokio::spawn(async move {
                let Reoffer { incarnation, first, last } = reoffer;
                let entries = reader.ask(move |history| history.forgotten(incarnation, first, last)).await;
                let _ = loads.send(Loaded::Forgotten { session, reoffer, entries });
            });
        }
    }

    /// The lost places are known: they are open again, on the disk too.
    pub fn forgotten(&mut self, session: u64, reoffer: Reoffer, entries: Result<Vec<Entry>, Trouble>) {
        match entries {
            _ if session != self.sessions => {}
            Ok(entries) => {
                let place = |e: &Entry| Place { incarnation: reoffer.incarnation, cseq: e.cseq };
                let again = entries.iter().filter(|e| !e.void).map(place).collect();
                self.submit(Write::Reopen(again), Then::Reopened { session, reoffer, entries });
            }
            Err(error) => self.lost(&error.to_string()),
        }
    }

    fn bye(&mut self, body: &[u8]) -> Result<(), prost::DecodeError> {
        let bye = wire::Bye::decode(body)?;
        let after_ms = bye.after_ms.min(u64::try_from(TRY_LATER_MAX.as_millis()).unwrap_or(u64::MAX));
        let error = ErrorData { retry_after_ms: (after_ms > 0).then_some(after_ms), ..Code(bye.code).into() };
        if self.leaving.is_some() {
            self.left(false);
        } else if bye.may_reconnect {
            self.fell(&error);
        } else {
            self.login_failed(&error);
            self.end_login(error.code);
        }
        Ok(())
    }

    /// The link is gone: a new one is made by itself.
    pub fn lost(&mut self, detail: &str) {
        self.fell(&upstream::unreachable(detail));
    }

    fn fell(&mut self, error: &ErrorData) {
        tracing::info!(profile = self.name, code = error.code.name(), detail = error.detail, "link lost");
        self.login_failed(error);
        self.cause = Some(problem(error));
        self.drop_session();
        if self.leaving.is_some() {
            return self.left(false);
        }
        self.plan_retry(error.retry_after_ms);
        self.give_up_waiting(Some(error));
    }

    /// Forgets the session and all that lived in it.
    pub fn drop_session(&mut self) {
        let Some(session) = self.session.take() else { return };
        self.sessions += 1;
        self.keep_sent();
        self.outbox.handle_disconnected();
        self.later = None;
        self.loading = false;
        self.reoffering = 0;
        self.reconciling = false;
        self.read_there.forget();
        self.inbox.forget_uncommitted();
        let cut = self.unreachable();
        for (_, pending) in session.pending {
            match pending {
                Pending::Call(_) => refuse(pending, &cut),
                Pending::Hello | Pending::Mark(_) | Pending::Receipts | Pending::Logout => {}
            }
        }
    }

    /// Asks a silent server whether it lives; two misses and it does not.
    pub fn keep_alive(&mut self, now: Instant) {
        if self.session.as_mut().is_some_and(|session| !session.takes(now)) {
            return self.lost("the server does not read");
        }
        let Some(session) = self.session.as_mut().filter(|session| session.deadline() <= now) else { return };
        if !session.welcomed || session.missed >= 1 {
            return self.lost("the server is silent");
        }
        if session.pinged.is_some() {
            session.missed += 1;
        }
        session.pinged = Some(now);
        session.ask(method::PING, Bytes::new(), None);
    }
}

fn remembered(state: &wire::StreamState) -> Remembered {
    Remembered {
        incarnation: Incarnation(state.incarnation),
        last: state.last,
        decisions: state.decisions.iter().map(|d| (d.h8, Code(d.code), d.position.map(Into::into))).collect(),
    }
}

/// Tells whoever waits for the answer that there will be none.
pub(super) fn refuse(pending: Pending, error: &ErrorData) {
    if let Pending::Call(reply) = pending {
        let _ = reply.send(Err(Box::new(error.clone())));
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::{Duration, SystemTime};

    use chat_link::{Roots, Target};

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    /// A session, and the server's end of it.
    async fn pair() -> (Session, Link) {
        let made = chat_link::self_signed(&["127.0.0.1".to_owned()], SystemTime::now()).expect("a certificate");
        let tls = chat_link::server_config(made.cert_pem.as_bytes(), made.key_pem.as_bytes()).expect("a config");
        let listener = chat_link::listen((Ipv4Addr::LOCALHOST, 0).into()).expect("a port");
        let target = Target { host: "127.0.0.1".into(), port: listener.local_addr().expect("bound").port() };
        let roots = Roots::system();
        let (connected, server) = tokio::join!(chat_link::connect(&target, &roots, SOON), async {
            let (stream, _) = listener.accept().await.expect("accepted");
            chat_link::handshake(stream, &tls, SOON).await.expect("TLS")
        });
        (Session::new(connected.expect("connected").link), server)
    }

    /// Whether something came already.
    async fn came(session: &mut Session) -> bool {
        poll_fn(|cx| Poll::Ready(pin!(session.next()).poll(cx).is_ready())).await
    }

    #[tokio::test]
    async fn a_server_that_does_not_read_is_not_listened_to_and_let_go() {
        let (mut session, mut server) = pair().await;
        server.queue(&Frame { name: method::PING, tag: 1, body: Bytes::new() });
        server.flush().await.expect("written");
        // More than the sockets take by themselves.
        loop {
            while session.listens() {
                session.link.queue(&Frame { name: method::SEND, tag: 0, body: vec![0; TEXT_MAX].into() });
            }
            if !came(&mut session).await && !session.listens() {
                break;
            }
        }
        let now = Instant::now();
        assert!(session.takes(now) && session.takes(now + SLOW_READER / 2));
        assert!(session.deadline() <= now + SLOW_READER);
        assert!(!session.takes(now + SLOW_READER), "nothing was taken");
        let reading = tokio::spawn(async move {
            server.set_frame_max(chat_proto::limits::FRAME_MAX);
            while let Ok(Some(_)) = server.recv().await {}
        });
        let next = tokio::time::timeout(SOON, session.next()).await.expect("soon").expect("a link");
        assert!(matches!(next, Next::Room) && session.listens(), "nothing is heard before");
        assert!(session.takes(now + SLOW_READER), "it reads again");
        let next = tokio::time::timeout(SOON, session.next()).await.expect("soon").expect("a link");
        assert!(matches!(next, Next::Frame(Some(frame)) if frame.name == method::PING));
        // There is room for texts a little later.
        while !session.has_room() {
            tokio::time::timeout(SOON, session.next()).await.expect("soon").expect("a link");
        }
        reading.abort();
    }
}
