//! Coming and going: tries to connect, by the user and by itself; logins, logouts, and when to try again.

use std::time::Duration;

use chat_proto::control::ErrorData;
use chat_proto::control::account::{Ended, LoggedOut, Problem};
use chat_proto::control::private::EndReason;
use chat_proto::fault::Code;
use chat_proto::limits::{BACKOFF_MAX, BACKOFF_MIN, DEVICE_NAME_MAX, TRY_LATER_MAX};
use chat_proto::peer::Bye;
use chat_proto::{method, wire};
use prost::Message as _;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::owner::{Owner, Then};
use super::session::{Pending, Session};
use super::{Answer, LoginAsk};
use crate::book;
use crate::history::Write;
use crate::keys::{self, Device};
use crate::upstream::{self, Attempt, Credentials, Opened};

/// A reconnect by key gets so long before it is given up.
const RECONNECT_WITHIN: Duration = Duration::from_secs(20);

/// A login that the user typed waits so long for the first messages: his own last one may be the newest and never comes.
const CATCH_UP: Duration = Duration::from_millis(250);

/// A try that is under way.
pub(super) struct Trying {
    task: JoinHandle<Answer<Opened>>,
    /// What the profile's entry becomes when it succeeds.
    entry: book::Entry,
    device: Device,
    /// The profile has a history of another server text: it must turn out to be the same server.
    same_server: bool,
}

impl Trying {
    /// Waits for the end; may be dropped and called again.
    pub async fn outcome(&mut self) -> Answer<Opened> {
        match (&mut self.task).await {
            Ok(outcome) => outcome,
            Err(error) => Err(Box::new(ErrorData { detail: Some(error.to_string()), ..Code::INTERNAL.into() })),
        }
    }
}

impl Drop for Trying {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A user who waits for a login.
pub(super) struct Login {
    reply: oneshot::Sender<Answer<()>>,
    /// The session is open; what waited in the inbox up to this place may come until then, to be counted in the answer.
    pub catching_up: Option<(u64, Instant)>,
}

/// A logout that waits for the server's word.
pub(super) struct Leaving {
    /// Until then.
    pub until: Instant,
    answer: LoggedOut,
    reply: oneshot::Sender<Answer<LoggedOut>>,
}

impl Owner {
    pub fn log_in(&mut self, ask: LoginAsk, reply: oneshot::Sender<Answer<()>>) {
        // One that is logging out would be logged out again by the server's word.
        if self.leaving.is_some() || self.login.as_ref().is_some_and(|login| !login.reply.is_closed()) {
            let _ = reply.send(Err(Box::new(Code::BUSY.into())));
            return;
        }
        let by_key = matches!(ask.credentials, Credentials::Device { .. });
        let same_user = upstream::fold(&ask.user, self.entry.classic) == self.entry.user;
        if by_key && same_user && self.online().is_some() && ask.server == self.entry.server {
            let _ = reply.send(Ok(()));
            return;
        }
        match self.prepare(&ask, same_user, by_key) {
            Ok((credentials, trying)) => {
                self.login = Some(Login { reply, catching_up: None });
                self.start(credentials.unwrap_or(ask.credentials), ask.trust, ask.within, trying);
            }
            Err(error) => {
                let _ = reply.send(Err(error));
            }
        }
    }

    /// What the profile becomes by this login, and the device to do it with; other credentials where there is no key to log in by.
    fn prepare(
        &mut self,
        ask: &LoginAsk,
        same_user: bool,
        by_key: bool,
    ) -> Answer<(Option<Credentials>, (book::Entry, Device, bool))> {
        let fresh = self.entry.user.is_empty();
        if !fresh && !same_user && !ask.empty {
            let subject = Some(self.entry.user.clone());
            return Err(Box::new(ErrorData { subject, ..Code::PROFILE_EXISTS.into() }));
        }
        let same_server = ask.server == self.entry.server;
        // A server that forgets keys at logout takes another key for the same device: what waits in its streams stays good.
        let forgotten = |code| self.entry.forgets_device && code == Code::WRONG_CREDENTIALS;
        let useless =
            self.entry.ended.as_ref().is_some_and(|ended| costs_the_key(ended.code) && !forgotten(ended.code));
        let anew = (!fresh && !same_user) || (useless && !by_key);
        let mut credentials = None;
        let device = match (self.device.clone().filter(|_| !anew), &ask.credentials) {
            (Some(device), _) => device,
            // Nobody will know this device: the name alone is said.
            (None, &Credentials::Device { take_over, .. }) => {
                credentials = Some(Credentials::Name { take_over });
                keys::generate().map_err(|error| disk(&error))?
            }
            (None, _) => self.new_device().map_err(|error| disk(&error))?,
        };
        let named = |name: &String| !name.is_empty();
        let name = ask.device.clone().filter(named).or(Some(self.entry.device.clone()).filter(named));
        let entry = book::Entry {
            user: ask.user.clone(),
            server: ask.server.clone(),
            device: name.map_or_else(|| self.around.host.clone(), |name| shortened(&name)),
            logged_in: true,
            ended: None,
            ca: ask.ca.clone().or_else(|| self.entry.ca.clone().filter(|_| same_server)),
            classic: self.entry.classic,
            forgets_device: self.entry.forgets_device,
        };
        Ok((credentials, (entry, device, !fresh && !same_server && !ask.empty)))
    }

    pub fn key_directory(&self) -> std::path::PathBuf {
        keys::directory(&self.around.state, &self.name)
    }

    /// A device for a profile. Its first one is on the disk before the server hears of it; one that is to replace another is
    /// written only when the server took it, as a wrong password must not cost the old one.
    fn new_device(&self) -> Result<Device, keys::KeyFileError> {
        let device = keys::generate()?;
        if self.device.is_none() {
            keys::store(&self.key_directory(), &device)?;
        }
        Ok(device)
    }

    fn start(
        &mut self,
        credentials: Credentials,
        trust: Option<chat_proto::id::Fingerprint>,
        within: Duration,
        (entry, device, same_server): (book::Entry, Device, bool),
    ) {
        let attempt = Attempt {
            // A little less than the caller waits, so that he hears why.
            within: within.mul_f32(0.9),
            server: entry.server.clone(),
            account: entry.user.clone(),
            credentials,
            device: device.clone(),
            device_name: entry.device.clone(),
            ca: entry.ca.clone(),
            trust,
            store: std::sync::Arc::clone(&self.around.trust),
            world: self.around.world,
        };
        self.tried_at = Some(Instant::now());
        self.retry_at = None;
        self.trying = Some(Trying { task: tokio::spawn(upstream::open(attempt)), entry, device, same_server });
    }

    /// Connects by the device's key, as the user would expect of a daemon.
    pub fn connect_by_key(&mut self) {
        let Some(device) = self.device.clone().filter(|_| !self.entry.user.is_empty()) else {
            return self.end_login(Code::WRONG_CREDENTIALS);
        };
        let credentials = Credentials::Device { by_user: false, take_over: false };
        self.start(credentials, None, RECONNECT_WITHIN, (self.entry.clone(), device, false));
    }

    /// Tries at once where a try would come later anyway; answers whether one is under way.
    pub fn hurry(&mut self, spacing: Duration) -> bool {
        if self.trying.is_some() || self.session.is_some() {
            return true;
        }
        let rested = self.tried_at.is_none_or(|at| at.elapsed() >= spacing);
        if !self.entry.logged_in || !rested {
            return false;
        }
        self.connect_by_key();
        self.trying.is_some()
    }

    /// A try is over.
    pub fn tried(&mut self, outcome: Answer<Opened>) {
        let Some(trying) = self.trying.take() else { return };
        let opened = match outcome {
            Ok(opened) => opened,
            Err(error) => return self.not_connected(&error),
        };
        let moved = self.belongs.is_some_and(|(server, _)| server != opened.server);
        if trying.same_server && moved {
            let subject = Some(self.entry.server.clone());
            return self.not_connected(&ErrorData { subject, ..Code::PROFILE_EXISTS.into() });
        }
        let entry = book::Entry {
            user: opened.account.clone(),
            classic: opened.classic,
            forgets_device: opened.forgets_device,
            ..trying.entry.clone()
        };
        if entry != self.entry
            && let Err(error) = self.around.book.put(&self.name, entry.clone())
        {
            return self.not_connected(&disk(&error));
        }
        if entry.user != self.entry.user {
            self.private.key = None;
            if let Err(error) = keys::forget_peer_key(&self.key_directory()) {
                return self.not_connected(&disk(&error));
            }
        }
        self.entry = entry;
        if self.device.as_ref().is_some_and(|old| old.id != trying.device.id)
            && let Err(error) = keys::store(&self.key_directory(), &trying.device)
        {
            return self.not_connected(&disk(&error));
        }
        self.device = Some(trying.device.clone());
        self.drop_session();
        self.open_session(opened, &trying.device);
    }

    fn open_session(&mut self, opened: Opened, device: &Device) {
        self.sessions += 1;
        self.rtt_ms = Some(opened.rtt_ms);
        self.server_version = Some(opened.server_version).filter(|version| !version.is_empty());
        self.session = Some(Session::new(opened.link));
        for (verdicts, retry) in std::mem::take(&mut self.unsettled) {
            self.settle(verdicts, retry);
        }
        if self.belongs == Some((opened.server, device.id)) {
            if !self.belonging {
                self.hello();
            }
            return;
        }
        self.belongs = Some((opened.server, device.id));
        self.belonging = true;
        // If they are others than before, places of the old streams are given up: new messages go into a new one.
        self.incarnation = None;
        self.submit(Write::Belong { server: opened.server, device: device.id }, Then::Belongs);
    }

    /// The try failed: the user is told, or a later one is planned.
    pub fn not_connected(&mut self, error: &ErrorData) {
        self.cause = Some(problem(error));
        tracing::info!(profile = self.name, code = error.code.name(), detail = error.detail, "not connected");
        if error.code == Code::REVOKED {
            // The next login by password is one of a new device.
            self.entry.ended = Some(Ended { code: error.code, at_ms: self.around.world.now_ms() });
        }
        if let Some(login) = self.login.take() {
            let _ = login.reply.send(Err(Box::new(error.clone())));
        } else if ends_login(error.code) {
            return self.end_login(error.code);
        }
        if self.session.is_none() {
            self.plan_retry(error.retry_after_ms);
            self.give_up_waiting(Some(error));
        }
    }

    /// Plans the next try: soon at first, then ever later, never all clients at once.
    pub fn plan_retry(&mut self, not_before_ms: Option<u64>) {
        if !self.entry.logged_in {
            return;
        }
        let ceiling = BACKOFF_MIN.saturating_mul(1 << self.tries.min(16)).min(BACKOFF_MAX);
        self.tries = self.tries.saturating_add(1);
        // Without randomness all wait the longest; nothing else breaks.
        let share = self.around.world.random().unwrap_or(u64::MAX) % 512 + 512;
        // Whatever the server asks for, the contract's bound holds: it must not send a client away for ever.
        let not_before = Duration::from_millis(not_before_ms.unwrap_or(0)).min(TRY_LATER_MAX);
        let wait = ceiling.mul_f64(share as f64 / 1024.0).max(not_before);
        self.retry_at = Some(Instant::now() + wait);
    }

    /// Milliseconds until the next try.
    pub fn retry_after_ms(&self) -> Option<u64> {
        let left = self.retry_at?.saturating_duration_since(Instant::now());
        Some(u64::try_from(left.as_millis()).unwrap_or(u64::MAX))
    }

    /// The login is over and will not come back by itself.
    pub fn end_login(&mut self, code: Code) {
        tracing::info!(profile = self.name, code = code.name(), "login ended");
        self.entry.logged_in = false;
        self.entry.ended = Some(Ended { code, at_ms: self.around.world.now_ms() });
        if let Err(error) = self.around.book.put(&self.name, self.entry.clone()) {
            tracing::error!(%error, "the end of the login could not be written down");
        }
        let (reason, bye) = match code {
            Code::IDLE => (EndReason::Idle, Bye::IDLE),
            Code::NOT_LOGGED_IN => (EndReason::Logout, Bye::LOGOUT),
            _ => (EndReason::Other, Bye::GONE),
        };
        self.end_sessions(reason, bye);
        self.drop_session();
        self.retry_at = None;
        if code == Code::IDLE {
            self.forget_key();
        }
        let over = self.not_logged_in();
        self.give_up_waiting(Some(&over));
    }

    /// The refusal of everything that needs a login.
    pub fn not_logged_in(&self) -> ErrorData {
        ErrorData { ended: self.entry.ended.clone(), ..Code::NOT_LOGGED_IN.into() }
    }

    /// The session is open: whoever waits for the login is told, once what waited for him up to `head` is here.
    pub fn logged_in(&mut self, head: u64) {
        self.cause = None;
        if let Some(login) = &mut self.login {
            self.tries = 0;
            login.catching_up = Some((head, Instant::now() + CATCH_UP));
        }
        self.greet(Instant::now());
    }

    /// Tells whoever waits for the login when it is time.
    pub fn greet(&mut self, now: Instant) {
        let here = self.inbox.cursor.map_or(0, |cursor| cursor.n);
        let due = |login: &mut Login| login.catching_up.is_some_and(|(head, until)| here >= head || until <= now);
        if let Some(login) = self.login.take_if(due) {
            let _ = login.reply.send(Ok(()));
        }
    }

    /// The link broke before the login was done. One whose own try is still under way hears of that.
    pub fn login_failed(&mut self, error: &ErrorData) {
        if self.trying.is_some() {
            return;
        }
        if let Some(login) = self.login.take() {
            let _ = login.reply.send(Err(Box::new(error.clone())));
        }
    }

    pub fn log_out(
        &mut self,
        all_devices: bool,
        force: bool,
        within: Duration,
        reply: oneshot::Sender<Answer<LoggedOut>>,
    ) {
        if let Err(refusal) = self.may_leave(force) {
            let _ = reply.send(Err(refusal));
            return;
        }
        let ended = Some(Ended { code: Code::NOT_LOGGED_IN, at_ms: self.around.world.now_ms() });
        let over = book::Entry { logged_in: false, ended, ..self.entry.clone() };
        // On the disk before anything else: a kill from here on leaves the user logged out.
        if let Err(error) = self.around.book.put(&self.name, over.clone()) {
            let _ = reply.send(Err(disk(&error)));
            return;
        }
        self.trying = None;
        self.entry = over;
        self.login_failed(&self.not_logged_in());
        let answer = LoggedOut {
            user: self.entry.user.clone(),
            state: "logged_out".into(),
            ended: self.end_sessions(EndReason::Logout, Bye::LOGOUT),
            unsent: 0,
            confirmed: false,
        };
        let online = self.online().is_some();
        self.leaving = Some(Leaving { until: Instant::now() + within, answer, reply });
        if !online {
            return self.left(false);
        }
        self.request(method::LOGOUT, wire::Logout { all_devices }.encode_to_vec().into(), Pending::Logout);
    }

    fn may_leave(&self, force: bool) -> Answer<()> {
        if !self.entry.logged_in || self.leaving.is_some() {
            return Err(Box::new(self.not_logged_in()));
        }
        let unsent = self.outbox.waiting_count() + self.queueing;
        if unsent > 0 && !force {
            return Err(Box::new(ErrorData { subject: Some(unsent.to_string()), ..Code::UNSENT.into() }));
        }
        Ok(())
    }

    /// The server's word, or that there will be none.
    pub fn left(&mut self, confirmed: bool) {
        let Some(mut leaving) = self.leaving.take() else { return };
        self.drop_session();
        self.retry_at = None;
        self.tries = 0;
        self.cause = None;
        self.forget_key();
        let over = self.not_logged_in();
        self.give_up_waiting(Some(&over));
        leaving.answer.confirmed = confirmed;
        leaving.answer.unsent = self.outbox.waiting_count() as u64;
        let _ = leaving.reply.send(Ok(leaving.answer));
    }

    /// A logout, where the server forgets the device's key: the next login is by password (mission rule 3). The device stays.
    fn forget_key(&mut self) {
        let Some(device) = self.device.as_ref().filter(|_| self.entry.forgets_device) else { return };
        let renewed = keys::renew(device).and_then(|device| {
            keys::store(&self.key_directory(), &device)?;
            Ok(device)
        });
        match renewed {
            Ok(device) => self.device = Some(device),
            Err(error) => tracing::error!(%error, "the device key could not be renewed"),
        }
    }

    pub fn leave_in_time(&mut self, now: Instant) {
        if self.leaving.as_ref().is_some_and(|leaving| leaving.until <= now) {
            self.left(false);
        }
    }
}

/// What the user sees of a failed try.
pub(super) fn problem(error: &ErrorData) -> Problem {
    Problem { code: error.code, subject: error.subject.clone().or_else(|| error.detail.clone()) }
}

/// Whether trying again by itself is pointless or wrong.
fn ends_login(code: Code) -> bool {
    matches!(
        code,
        Code::WRONG_CREDENTIALS
            | Code::ALREADY_LOGGED_IN
            | Code::DUPLICATE_DEVICE
            | Code::KICKED
            | Code::REPLACED
            | Code::REVOKED
            | Code::IDLE
            | Code::ACCOUNT_GONE
            | Code::ACCOUNT_LOCKED
            | Code::FORBIDDEN
            | Code::BAD_NAME
            | Code::BAD_PARAMS
            | Code::BAD_CONFIG
            | Code::UNKNOWN_USER
            | Code::NOT_LOGGED_IN
    )
}

/// Whether the server takes the device's key no more: a login by password is one of a new device.
fn costs_the_key(code: Code) -> bool {
    matches!(code, Code::DUPLICATE_DEVICE | Code::REVOKED | Code::WRONG_CREDENTIALS)
}

fn shortened(name: &str) -> String {
    let mut end = name.len().min(DEVICE_NAME_MAX);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name[..end].to_owned()
}

fn disk(error: &impl std::fmt::Display) -> Box<ErrorData> {
    Box::new(ErrorData { detail: Some(error.to_string()), ..Code::DISK_FULL.into() })
}
