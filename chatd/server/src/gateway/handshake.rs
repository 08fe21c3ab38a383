//! From a connection to a session: TLS, the server's proof, the name, the client's proof, HELLO. All within 20 seconds, in
//! frames of 4 KiB, and one wrong word is the end (S4, S6, S15). Only the wait for a turn at a password takes longer (S12).

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use chat_link::{AcceptError, DeviceClaim, Link, LinkError, verify_device};
use chat_proto::fault::{Blame, Code, Fault};
use chat_proto::frame::Frame;
use chat_proto::id::{DeviceId, Incarnation};
use chat_proto::version::{self, Versions};
use chat_proto::{display, limits, method, status, wire};
use prost::Message;
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep_until};
use zeroize::Zeroizing;

use super::probe::Probe;
use super::session::Session;
use super::{Gateway, Mailbox, Origin, tls};
use crate::account::{Attempt, Told};
use crate::places::Place;
use crate::rate::Bucket;
use crate::source::Source;
use crate::store::{AcctId, Fence, Login, NewDevice, Op, OpenSession, Opened, Policy, SessionNo, Store};

/// How often one HELLO asks old sessions whether they live: a newer one may come between answer and take-over.
const PROBES: u32 = 3;
/// What a client is asked to wait when the server has all the connections that it may have.
const FULL_FOR: Duration = Duration::from_secs(10);

/// Why a stranger is sent away, after the last answer was queued.
enum Leave {
    /// The link is over.
    Gone,
    /// With these words.
    Over(Code),
}

impl From<LinkError> for Leave {
    fn from(error: LinkError) -> Leave {
        match error {
            LinkError::Frame(_) => Leave::Over(Code::PROTOCOL),
            LinkError::Tls(_) | LinkError::Cut | LinkError::Io(_) => Leave::Gone,
        }
    }
}

/// A refusal leaves the stranger another try; the rest does not.
enum Refusal {
    Fault(Fault),
    Leave(Leave),
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Refusal {
        Refusal::Fault(fault)
    }
}

impl From<Code> for Refusal {
    fn from(code: Code) -> Refusal {
        Refusal::Fault(code.into())
    }
}

/// Who proved to be whom.
struct Known {
    login: Login,
    /// The user typed it: activity (mission rule 7).
    by_user: bool,
    take_over: bool,
}

/// What becomes a session.
struct Open {
    fence: Fence,
    mailbox: Arc<Mailbox>,
    opened: Opened,
    sending: Arc<Mutex<Bucket>>,
}

/// Somebody who has not opened a session yet.
struct Stranger<S: Store> {
    gateway: Arc<Gateway<S>>,
    link: Link,
    peer: SocketAddr,
    source: Source,
    place: Option<Place>,
    /// When it must be logged in.
    deadline: watch::Sender<Instant>,
    /// What it said while it waited for a turn.
    ahead: Option<Frame>,
    /// What the client offered, once it did.
    versions: Option<Versions>,
    known: Option<Known>,
    /// Sessions of the account's other devices that did not answer when the name was given.
    probe: Option<Probe>,
}

/// Takes a connection as far as it comes and starts its session. The session is another task, so that it does not carry the
/// handshake's memory.
pub(super) async fn meet<S: Store>(gateway: Arc<Gateway<S>>, stream: TcpStream, peer: SocketAddr, place: Place) {
    let (deadline, due) = watch::channel(Instant::now() + limits::AUTH_WITHIN);
    let stopping = gateway.shutdown.clone();
    let met = tokio::select! {
        biased;
        () = stopping.begun() => return,
        met = greet(&gateway, stream, peer, place, deadline) => met,
        () = passed(due) => {
            gateway.metrics.turned_away("login_timed_out");
            gateway.audit.stranger(peer, format_args!("dropped: not logged in in time"));
            return;
        }
    };
    // From here on nothing cuts it short: a session that the store opened must have a task.
    if let Some((stranger, hello)) = met {
        stranger.enter(hello).await;
    }
}

/// Resolves when the deadline has passed, wherever it was moved to meanwhile.
async fn passed(mut deadline: watch::Receiver<Instant>) {
    loop {
        let at = *deadline.borrow_and_update();
        tokio::select! {
            () = sleep_until(at) => return,
            Ok(()) = deadline.changed() => {}
        }
    }
}

/// TLS and everything up to HELLO.
async fn greet<S: Store>(
    gateway: &Arc<Gateway<S>>,
    stream: TcpStream,
    peer: SocketAddr,
    place: Place,
    deadline: watch::Sender<Instant>,
) -> Option<(Stranger<S>, Frame)> {
    let link = match chat_link::handshake(stream, &tls(gateway), limits::HANDSHAKE_WITHIN).await {
        Ok(link) => link,
        Err(error) => {
            refused(gateway, peer, &error);
            return None;
        }
    };
    let mut stranger = Stranger {
        gateway: Arc::clone(gateway),
        link,
        peer,
        source: Source::of(peer.ip()),
        place: Some(place),
        deadline,
        ahead: None,
        versions: None,
        known: None,
        probe: None,
    };
    match stranger.talk().await {
        Ok(hello) => Some((stranger, hello)),
        Err(leave) => {
            stranger.leave(leave).await;
            None
        }
    }
}

/// TLS failed: said once a second, in words that hold nothing of the client's.
fn refused<S: Store>(gateway: &Gateway<S>, peer: SocketAddr, error: &AcceptError) {
    gateway.metrics.turned_away(match error {
        AcceptError::TimedOut => "tls_timed_out",
        AcceptError::Tls(_) => "tls_failed",
        AcceptError::WrongProtocol => "other_protocol",
        AcceptError::Io(_) => "broken",
    });
    match error {
        AcceptError::Tls(text) => {
            gateway.audit.stranger(peer, format_args!("closed: TLS failed: {}", display::line(text)));
        }
        other => gateway.audit.stranger(peer, format_args!("closed: {other}")),
    }
}

impl<S: Store> Stranger<S> {
    /// Answers until HELLO of somebody who is logged in comes, and returns that.
    async fn talk(&mut self) -> Result<Frame, Leave> {
        loop {
            let frame = match self.ahead.take() {
                Some(frame) => frame,
                None => self.link.recv().await?.ok_or(Leave::Gone)?,
            };
            let tag = frame.tag;
            if frame.name == method::HELLO && self.known.is_some() {
                return Ok(frame);
            }
            match self.answer(&frame).await {
                Ok(body) => self.link.queue(&Frame { name: answer_name(&frame), tag, body }),
                Err(Refusal::Fault(fault)) => self.refuse(tag, fault),
                Err(Refusal::Leave(leave)) => {
                    if let Leave::Over(code) = leave {
                        self.refuse(tag, code.into());
                    }
                    return Err(leave);
                }
            }
            self.link.flush().await?;
        }
    }

    fn refuse(&mut self, tag: u32, fault: Fault) {
        self.link.queue(&Frame::new(status::ERROR, tag, &wire::Refusal::from(fault)));
    }

    async fn answer(&mut self, frame: &Frame) -> Result<Bytes, Refusal> {
        let body = &frame.body;
        match frame.name {
            method::PING => {
                decode::<wire::Empty>(body)?;
                Ok(Bytes::new())
            }
            method::IDENTIFY if self.versions.is_none() => self.identify(&decode(body)?),
            method::NAME if self.versions.is_some() => self.name(decode(body)?).await,
            method::REGISTER | method::LOGIN if self.is_expected() => {
                self.password(frame.name == method::REGISTER, decode(body)?).await
            }
            method::DEVICE if self.is_expected() => self.device(decode(body)?).await,
            _ => Err(Refusal::Leave(Leave::Over(Code::PROTOCOL))),
        }
    }

    /// A login is due: the server proved itself, and nobody is logged in here yet.
    fn is_expected(&self) -> bool {
        self.versions.is_some() && self.known.is_none()
    }

    fn identify(&mut self, ask: &wire::Identify) -> Result<Bytes, Refusal> {
        let offered = Versions { min: ask.version_min, max: ask.version_max };
        let version = version::WIRE.settle(offered).ok_or(Refusal::Leave(Leave::Over(Code::VERSION)))?;
        self.versions = Some(offered);
        let proof = self.gateway.identity.prove(&self.link.exporter(), version).map_err(|error| {
            tracing::error!(%error, "the server cannot prove itself");
            Code::INTERNAL
        })?;
        let answer = wire::Identity {
            server_id: self.gateway.identity.id().0.to_vec(),
            proof: proof.to_vec(),
            version,
            server_version: env!("CARGO_PKG_VERSION").to_owned(),
            name: self.gateway.live.get().sessions.name.clone(),
            now_ms: self.gateway.clock.wall_ms(),
            seen: self.link.peer_addr().ip().to_canonical().to_string(),
        };
        Ok(answer.encode_to_vec().into())
    }

    /// What is said about a name: nothing in the default profile (S9).
    async fn name(&mut self, ask: wire::Name) -> Result<Bytes, Refusal> {
        let accounts = &self.gateway.accounts;
        let told = accounts.tell(&ask.account).await?;
        let manners = accounts.manners();
        let state = match told {
            Told::Nothing => 0,
            Told::Unknown => 2,
            Told::Known(acct) if self.is_active(acct, &ask.account, &ask.device_id).await => 3,
            Told::Known(_) => 1,
        };
        Ok(wire::NameState { state, ..manners }.encode_to_vec().into())
    }

    /// Whether the account lives on another device, so that a login would be refused.
    async fn is_active(&mut self, acct: AcctId, account: &str, device: &[u8]) -> bool {
        if self.gateway.live.get().sessions.policy != Policy::Refuse {
            return false;
        }
        let own = self.gateway.accounts.device_number(account, device).await;
        let others = self.gateway.directory.others(acct, own);
        if others.is_empty() {
            return false;
        }
        // Who stayed silent when the name was said is not asked again for the password: an answer that came since counts.
        let mut probe = match self.probe.take() {
            Some(probe) if probe.asked(&others) => probe,
            _ => Probe::of(others),
        };
        let lives = probe.lives().await;
        self.probe = (!lives).then_some(probe);
        lives
    }

    async fn password(&mut self, register: bool, ask: wire::Password) -> Result<Bytes, Refusal> {
        let password = Zeroizing::new(ask.password);
        let enrol = ask.enrol.ok_or(Refusal::Leave(Leave::Over(Code::PROTOCOL)))?;
        let device = self.new_device(&ask.account, enrol)?;
        let id = device.id;
        let gateway = Arc::clone(&self.gateway);
        let done = if register {
            gateway.accounts.register(self.source, &ask.account, password, &ask.invite, device).await
        } else {
            match self.queue(gateway.accounts.attempt(self.source, &ask.account, password)).await? {
                Ok(attempt) => self.login(&ask.account, attempt, device, ask.take_over).await,
                Err(fault) => Err(fault),
            }
        };
        let how = if register { "register" } else { "login by password" };
        self.logged_in(done, how, &ask.account, id, Known::typed(ask.take_over))
    }

    /// Waits for a turn at a password, which is not the client's fault and moves its deadline (S12). One that leaves meanwhile leaves
    /// the queue and its place; of what it says one frame waits with it, and more is the end.
    async fn queue<T>(&mut self, turn: impl Future<Output = T>) -> Result<T, Leave> {
        let (began, deadline) = (Instant::now(), *self.deadline.borrow());
        self.deadline.send_replace(deadline + limits::TRY_WITHIN);
        let mut turn = pin!(turn);
        let came = loop {
            tokio::select! {
                biased;
                came = &mut turn => break came,
                frame = self.link.recv() => {
                    let frame = frame?.ok_or(Leave::Gone)?;
                    if self.ahead.replace(frame).is_some() {
                        return Err(Leave::Over(Code::PROTOCOL));
                    }
                }
            }
        };
        self.deadline.send_replace(deadline + began.elapsed());
        Ok(came)
    }

    /// A device that would be refused at HELLO is not enrolled: each try would leave one behind, until there is room for no more.
    async fn login(
        &mut self,
        account: &str,
        attempt: Attempt,
        device: NewDevice,
        take_over: bool,
    ) -> Result<Login, Fault> {
        let proven = self.gateway.accounts.prove(attempt).await?;
        if !take_over && self.is_active(proven.acct, account, &device.id.0).await {
            return Err(Code::ALREADY_LOGGED_IN.into());
        }
        self.gateway.accounts.enrol(proven, device).await
    }

    /// The device that a password enrols: it must hold the key that it names.
    fn new_device(&self, account: &str, enrol: wire::Enrol) -> Result<NewDevice, Refusal> {
        let id = device_id(&enrol.device_id)?;
        let key: [u8; 32] = enrol.public_key.as_slice().try_into().map_err(|_| Leave::Over(Code::PROTOCOL))?;
        let claim = self.claim(account, id)?;
        if !verify_device(&key, &claim, &enrol.proof) {
            return Err(Code::WRONG_CREDENTIALS.into());
        }
        if enrol.name.len() > limits::DEVICE_NAME_MAX || enrol.name.chars().any(char::is_control) {
            return Err(Code::BAD_NAME.into());
        }
        Ok(NewDevice { id, key, name: enrol.name })
    }

    async fn device(&mut self, ask: wire::DeviceLogin) -> Result<Bytes, Refusal> {
        let id = device_id(&ask.device_id)?;
        let claim = self.claim(&ask.account, id)?;
        let done = self
            .gateway
            .accounts
            .device(self.source, &ask.account, id, |key| verify_device(key, &claim, &ask.proof))
            .await;
        let known = |login| Known { login, by_user: ask.by_user, take_over: ask.take_over };
        self.logged_in(done, "login by key", &ask.account, id, known)
    }

    fn claim<'a>(&self, account: &'a str, device: DeviceId) -> Result<DeviceClaim<'a>, Refusal> {
        let versions = self.versions.ok_or(Refusal::Leave(Leave::Over(Code::PROTOCOL)))?;
        let server = self.gateway.identity.id();
        Ok(DeviceClaim { exporter: self.link.exporter(), server, account, device, versions })
    }

    fn logged_in(
        &mut self,
        done: Result<Login, Fault>,
        how: &'static str,
        account: &str,
        device: DeviceId,
        known: impl FnOnce(Login) -> Known,
    ) -> Result<Bytes, Refusal> {
        let (peer, audit) = (self.peer, &self.gateway.audit);
        self.gateway.metrics.login(how, done.as_ref().map_or_else(|fault| fault.code, |_| Code::ACCEPTED));
        match done {
            Ok(login) => {
                let name = login.name.as_str();
                audit.line(peer, name, format_args!("{how}: account {name}, device {device}"));
                let answer = wire::LoggedIn { account: login.name.to_string() };
                self.known = Some(known(login));
                Ok(answer.encode_to_vec().into())
            }
            Err(fault) => {
                // A name may be a password typed at the wrong prompt: what no account can be called is not logged.
                let name = self.gateway.accounts.look_up(account).map_or_else(String::new, String::from);
                let name = display::line(&name);
                audit.refused(peer, &name, format_args!("{how} refused, {}: account {name}", fault.code.name()));
                Err(fault.into())
            }
        }
    }

    /// Opens the session and starts its task.
    async fn enter(mut self, hello: Frame) {
        match self.open(&hello).await {
            Ok(Open { fence, mailbox, opened, sending }) => {
                self.link.queue(&Frame::new(status::CONFIRMATION, hello.tag, &opened.welcome));
                opened.marks.iter().for_each(|mark| self.link.queue(&Frame::new(method::MARK, 0, mark)));
                self.link.set_frame_max(limits::FRAME_MAX);
                // Not before: a login without a session would count nowhere.
                self.place = None;
                let session = Session::new(Arc::clone(&self.gateway), self.link, mailbox, fence, &opened, sending);
                self.gateway.shutdown.spawn(session.run());
            }
            Err(Refusal::Fault(fault)) => {
                let code = fault.code;
                self.refuse(hello.tag, fault);
                self.leave(Leave::Over(code)).await;
            }
            Err(Refusal::Leave(leave)) => self.leave(leave).await,
        }
    }

    /// The last word.
    async fn leave(mut self, leave: Leave) {
        let Leave::Over(code) = leave else { return };
        self.gateway.audit.stranger(self.peer, format_args!("closed: {}", code.name()));
        let may_reconnect = code.blame() == Blame::Passing;
        self.link.queue(&Frame::new(status::END, 0, &wire::Bye { code: code.0, may_reconnect, after_ms: 0 }));
        self.link.close().await;
    }

    /// HELLO: the mailbox is there before the session is, so that nothing falls between the two.
    async fn open(&mut self, frame: &Frame) -> Result<Open, Refusal> {
        let known = self.known.take().ok_or(Leave::Over(Code::PROTOCOL))?;
        let hello: wire::Hello = decode(&frame.body)?;
        if hello.streams.len() > limits::OPEN_STREAMS_MAX {
            return Err(Leave::Over(Code::PROTOCOL).into());
        }
        let gateway = &*self.gateway;
        if gateway.directory.count() >= gateway.live.get().sessions.connections {
            return Err(Fault::retry(Code::BUSY, FULL_FOR).into());
        }
        let session = gateway.number();
        let origin = Origin { peer: self.peer, since_ms: gateway.clock.wall_ms() };
        let mailbox = Arc::new(Mailbox::new(known.login.clone(), origin, self.active_ms(&known)));
        let entered = Entered { gateway, session, stays: false };
        let sending =
            gateway.directory.add(session, &mailbox, gateway.live.get().sessions.sending, gateway.clock.mono_ms());
        // Looked at after it was added: either this sees the shutdown, or the shutdown sees the mailbox.
        if gateway.shutdown.has_begun() {
            return Err(Code::SHUTTING_DOWN.into());
        }
        let silent = self.probe.take().map(Probe::silent).unwrap_or_default();
        let opened = open_session(gateway, &known, session, hello, silent).await?;
        entered.stay();
        let fence = Fence { acct: known.login.acct, dev: known.login.dev, session, epoch: opened.epoch };
        Ok(Open { fence, mailbox, opened, sending })
    }

    /// A login that the user typed is activity; a reconnect goes on where the last session was.
    fn active_ms(&self, known: &Known) -> u64 {
        let before = self.gateway.directory.last_active(known.login.dev);
        before.filter(|_| !known.by_user).unwrap_or_else(|| self.gateway.clock.mono_ms())
    }
}

impl Known {
    fn typed(take_over: bool) -> impl FnOnce(Login) -> Known {
        move |login| Known { login, by_user: true, take_over }
    }
}

/// A mailbox in the directory that leaves again unless its session opens.
struct Entered<'a, S: Store> {
    gateway: &'a Gateway<S>,
    session: SessionNo,
    stays: bool,
}

impl<S: Store> Entered<'_, S> {
    fn stay(mut self) {
        self.stays = true;
    }
}

impl<S: Store> Drop for Entered<'_, S> {
    fn drop(&mut self) {
        if !self.stays {
            self.gateway.directory.remove(self.session, self.gateway.clock.mono_ms());
        }
    }
}

/// Opens the session in the store; under the policy `refuse` after a look whether the old one lives.
async fn open_session<S: Store>(
    gateway: &Gateway<S>,
    known: &Known,
    session: SessionNo,
    hello: wire::Hello,
    silent: Vec<SessionNo>,
) -> Result<Opened, Fault> {
    let policy = match gateway.live.get().sessions.policy {
        Policy::Refuse if known.take_over => Policy::Replace,
        policy => policy,
    };
    let mut open = OpenSession {
        login: known.login.clone(),
        session,
        run: hello.run,
        streams: hello.streams.iter().map(|s| (Incarnation(s.incarnation), s.settled)).collect(),
        known: hello.known.into_iter().take(limits::KNOWN_STREAMS).map(Incarnation).collect(),
        cursor: hello.cursor.map(Into::into),
        policy,
        silent,
        now_ms: gateway.clock.wall_ms(),
    };
    for _ in 0..PROBES {
        match ask(gateway, open.clone()).await {
            Err(fault) if fault.code == Code::ALREADY_LOGGED_IN => {}
            done => return done,
        }
        let mut probe = Probe::of(gateway.directory.others(known.login.acct, Some(known.login.dev)));
        if probe.lives().await {
            break;
        }
        open.silent = probe.silent();
    }
    Err(Code::ALREADY_LOGGED_IN.into())
}

async fn ask<S: Store>(gateway: &Gateway<S>, open: OpenSession) -> Result<Opened, Fault> {
    let (answer, done) = oneshot::channel();
    gateway.store.submit(Op::Open(Box::new(open), answer)).await;
    done.await.unwrap_or_else(|_| Err(Code::STORAGE.into()))
}

fn answer_name(frame: &Frame) -> method::Tag4 {
    if frame.name == method::PING { method::PONG } else { status::CONFIRMATION }
}

fn device_id(bytes: &[u8]) -> Result<DeviceId, Refusal> {
    DeviceId::try_from(bytes).map_err(|_| Refusal::Leave(Leave::Over(Code::PROTOCOL)))
}

fn decode<M: Message + Default>(body: &Bytes) -> Result<M, Leave> {
    M::decode(body.clone()).map_err(|_| Leave::Over(Code::PROTOCOL))
}

impl From<Leave> for Refusal {
    fn from(leave: Leave) -> Refusal {
        Refusal::Leave(leave)
    }
}
