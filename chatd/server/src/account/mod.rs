//! Accounts: making one, and proving to be one by password or by device key. Called by the gateway's handshake.
//!
//! Owns the rules of mission 1 to 6: what a stranger may learn (S9), how often he may guess (rule 3), what a hash costs.

pub mod credentials;
mod hasher;
pub mod invite;
mod lockout;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chat_proto::fault::{Code, Fault};
use chat_proto::id::{AccountName, DeviceId, NameRule};
use chat_proto::limits;
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

pub use hasher::{HashError, Hasher, Pepper};
pub use lockout::{Lockout, Rules};

use crate::clock::Clock;
use crate::config::{LockoutBy, Registration};
use crate::planted::planted;
use crate::rate::{PerKey, Rate};
use crate::settings::Live;
use crate::source::Source;
use crate::store::{AcctId, Answer, Asker, Failure, Fence, InviteHash, Login, NewDevice, Op, Query, Revoke, Store};
use crate::sync::lock;

/// How accounts behave, from the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Who may make one.
    pub registration: Registration,
    /// What a lock belongs to.
    pub lockout_by: LockoutBy,
    /// When it comes.
    pub lockout: Rules,
    /// Password logins of a source.
    pub logins: Rate,
    /// New accounts of a source.
    pub newcomers: Rate,
}

/// The owner of the rules; one for the server.
pub struct Accounts<S> {
    store: Arc<S>,
    clock: Clock,
    live: Arc<Live>,
    hasher: Hasher,
    /// Keys the table of failures, so that it tells no names.
    secret: Zeroizing<[u8; 32]>,
    // Short locks instead of an owner: each is held for one look-up and never across an await.
    lockout: Mutex<Lockout>,
    logins: Mutex<PerKey<Source>>,
    newcomers: Mutex<PerKey<Source>>,
    /// Hashes for one name, from everywhere.
    tries: Mutex<PerKey<lockout::Key>>,
}

impl<S: Store> Accounts<S> {
    /// Reads the failures that were kept. `secret` is any secret of the server that never changes.
    pub async fn open(
        store: Arc<S>,
        clock: Clock,
        live: Arc<Live>,
        hasher: Hasher,
        secret: Zeroizing<[u8; 32]>,
    ) -> Accounts<S> {
        let (answer, kept) = oneshot::channel();
        store.query(Query::Failures(answer));
        let kept = kept.await.unwrap_or_default();
        let settings = live.get().accounts;
        Accounts {
            lockout: Mutex::new(Lockout::new(settings.lockout, kept, clock.mono_ms())),
            logins: Mutex::new(PerKey::new(settings.logins)),
            newcomers: Mutex::new(PerKey::new(settings.newcomers)),
            tries: Mutex::new(PerKey::new(Rate::per(limits::HASHES_PER_NAME_AND_MINUTE, 60))),
            store,
            clock,
            live,
            hasher,
            secret,
        }
    }

    /// The settings were replaced: what was counted goes on by the new rules.
    pub fn configured(&self) {
        let settings = self.live.get().accounts;
        lock(&self.lockout).set_rules(settings.lockout);
        lock(&self.logins).set_rate(settings.logins);
        lock(&self.newcomers).set_rate(settings.newcomers);
    }

    /// Makes an account with its first device. Says when a name is taken: somebody who may register may know.
    pub async fn register(
        &self,
        source: Source,
        name: &str,
        password: Zeroizing<String>,
        invite: &str,
        device: NewDevice,
    ) -> Result<Login, Fault> {
        let invite = invite::hash(invite);
        match self.live.get().accounts.registration {
            Registration::Invite if invite.is_none() => return Err(Code::BAD_INVITE.into()),
            Registration::Closed if invite.is_none() => return Err(Code::REGISTRATION_CLOSED.into()),
            Registration::Open | Registration::Invite | Registration::Closed => {}
        }
        check_password(&password)?;
        let name = AccountName::parse(name, NameRule::Standard).map_err(|_| Code::BAD_NAME)?;
        // Before the name is looked at: else names could be tried out as fast as one can ask.
        self.spend(&self.newcomers, source)?;
        if let Some(invite) = invite {
            self.check_invite(invite, &name).await?;
        }
        if self.credentials(name.clone()).await?.is_some() {
            return Err(Code::NAME_TAKEN.into());
        }
        let phc = self.hasher.hash(password).await?;
        self.ask(|answer| Op::CreateAccount { name, phc, device, invite, answer }).await
    }

    /// An invitation that is given must be good, whatever the mode; a closed server takes only one for this very name, which its
    /// operator made. Before the hash, and before anything is said of the name; the store decides again.
    async fn check_invite(&self, invite: InviteHash, name: &AccountName) -> Result<(), Fault> {
        let (answer, found) = oneshot::channel();
        self.store.query(Query::Invite(invite, answer));
        match found.await.map_err(|_| Fault::from(Code::INTERNAL))? {
            Some(Some(only)) if only == *name => Ok(()),
            Some(None) if self.live.get().accounts.registration == Registration::Closed => {
                Err(Code::REGISTRATION_CLOSED.into())
            }
            Some(None) => Ok(()),
            Some(Some(_)) | None => Err(Code::BAD_INVITE.into()),
        }
    }

    /// Checks a password and enrols the device.
    pub async fn login(
        &self,
        source: Source,
        name: &str,
        password: Zeroizing<String>,
        device: NewDevice,
    ) -> Result<Login, Fault> {
        check_password(&password)?;
        self.spend(&self.logins, source)?;
        let key = self.key(source, name);
        self.refuse_locked(&key)?;
        self.queue_for(name).await;
        let known = match fold(name) {
            Some(name) => self.credentials(name).await?,
            None => None,
        };
        let checked = self.hasher.check(password.clone(), known.as_ref().map(|(_, phc)| phc.clone())).await?;
        // A lock that came meanwhile holds for this try too: guesses made at once are no more than guesses in a row.
        self.refuse_locked(&key)?;
        let Some((acct, phc)) = known.filter(|_| checked.right) else { return Err(self.wrong(key).await) };
        self.right(&key).await;
        let old = checked.stale.then(|| phc.clone());
        let login = self.ask(|answer| Op::Enrol { acct, phc, device, answer }).await?;
        if let Some(old) = old {
            self.rehash(acct, old, password).await;
        }
        Ok(login)
    }

    /// Another password for the account of a session, whose old one is checked as a login's is. Answers how many devices lost
    /// their keys.
    pub async fn change_password(
        &self,
        source: Source,
        name: &AccountName,
        fence: Fence,
        (old, new): (Zeroizing<String>, Zeroizing<String>),
        revoke: Revoke,
    ) -> Result<u32, Fault> {
        check_password(&old)?;
        check_password(&new)?;
        self.spend(&self.logins, source)?;
        let key = self.key(source, name.as_str());
        self.refuse_locked(&key)?;
        let known = self.credentials(name.clone()).await?;
        let checked = self.hasher.check(old, known.as_ref().map(|(_, phc)| phc.clone())).await?;
        self.refuse_locked(&key)?;
        let Some((acct, phc)) = known.filter(|_| checked.right) else { return Err(self.wrong(key).await) };
        self.right(&key).await;
        let asker = Some(Asker { fence, old: phc });
        let phc = self.hasher.hash(new).await?;
        self.ask(|answer| Op::SetPassword { acct, phc, revoke, asker, answer }).await
    }

    /// Logs a device in by its key; `proven` says whether its proof fits a key. Unknown device, unknown account and wrong
    /// signature are one answer at one cost.
    pub async fn device(
        &self,
        name: &str,
        id: DeviceId,
        proven: impl FnOnce(&[u8; 32]) -> bool,
    ) -> Result<Login, Fault> {
        /// The base point of Ed25519: a well-formed key of nobody's.
        const NOBODY: [u8; 32] = {
            let mut key = [0x66; 32];
            key[0] = 0x58;
            key
        };
        let name = fold(name).ok_or(Code::WRONG_CREDENTIALS)?;
        let (answer, found) = oneshot::channel();
        self.store.query(Query::Device(name, id, answer));
        let found = found.await.map_err(|_| Fault::from(Code::INTERNAL))?;
        let proven = proven(found.as_ref().map_or(&NOBODY, |(_, key)| key));
        match found {
            Some((login, _)) if proven => Ok(login),
            _ => Err(Code::WRONG_CREDENTIALS.into()),
        }
    }

    /// Time passes: locks that ended are kept as ended. Called about once a second.
    pub async fn tick(&self) {
        let ended = lock(&self.lockout).tick(self.clock.mono_ms());
        self.keep(ended).await;
    }

    /// Keeps what is left of the running locks, before the store shuts down.
    pub async fn shutdown(&self) {
        let running = lock(&self.lockout).running(self.clock.mono_ms());
        self.keep(running).await;
    }

    async fn credentials(&self, name: AccountName) -> Result<Option<(AcctId, String)>, Fault> {
        let (answer, found) = oneshot::channel();
        self.store.query(Query::Credentials(name, answer));
        found.await.map_err(|_| Code::INTERNAL.into())
    }

    async fn ask<T>(&self, op: impl FnOnce(Answer<T>) -> Op) -> Result<T, Fault> {
        let (answer, done) = oneshot::channel();
        self.store.submit(op(answer)).await;
        done.await.unwrap_or_else(|_| Err(Code::STORAGE.into()))
    }

    fn spend(&self, table: &Mutex<PerKey<Source>>, source: Source) -> Result<(), Fault> {
        let taken = lock(table).take(source, self.clock.mono_ms());
        taken.map_err(|wait| Fault::retry(Code::SLOW_DOWN, Duration::from_millis(wait)))
    }

    /// Many sources that guess at one name wait for each other (S12). Nobody is refused for it: that would lock the owner out.
    async fn queue_for(&self, name: &str) {
        let key = self.hashed(None, name);
        loop {
            let taken = lock(&self.tries).take(key, self.clock.mono_ms());
            let Err(wait) = taken else { return };
            tokio::time::sleep(Duration::from_millis(wait)).await;
        }
    }

    fn refuse_locked(&self, key: &lockout::Key) -> Result<(), Fault> {
        if planted("lock-lets-right-in") {
            return Ok(());
        }
        match lock(&self.lockout).left(key, self.clock.mono_ms()) {
            Some(left) => Err(Fault::retry(Code::LOCKED_OUT, Duration::from_millis(left))),
            None => Ok(()),
        }
    }

    async fn wrong(&self, key: lockout::Key) -> Fault {
        let (locked, kept) = lock(&self.lockout).wrong(key, self.clock.mono_ms());
        self.keep(kept).await;
        match locked {
            Some(left) => Fault::retry(Code::LOCKED_OUT, Duration::from_millis(left)),
            None => Code::WRONG_CREDENTIALS.into(),
        }
    }

    async fn right(&self, key: &lockout::Key) {
        if planted("success-keeps-count") {
            return;
        }
        let forgotten = lock(&self.lockout).right(key);
        self.keep(forgotten).await;
    }

    async fn keep(&self, failures: impl IntoIterator<Item = Failure>) {
        for failure in failures.into_iter().filter(|_| !planted("lock-forgotten-by-restart")) {
            self.store.submit(Op::Failure(failure)).await;
        }
    }

    /// A login that succeeded is not undone because today's stronger hash could not be made.
    async fn rehash(&self, acct: AcctId, old: String, password: Zeroizing<String>) {
        if let Ok(phc) = self.hasher.hash(password).await {
            self.store.submit(Op::Rehash { acct, old, phc }).await;
        }
    }

    /// The key of a failure counter.
    fn key(&self, source: Source, name: &str) -> lockout::Key {
        self.hashed((self.live.get().accounts.lockout_by == LockoutBy::Source).then_some(source), name)
    }

    /// A keyed hash of the name as it would be looked up, exists or not.
    fn hashed(&self, source: Option<Source>, name: &str) -> lockout::Key {
        let mut hash = Sha256::new();
        hash.update(b"chat-lockout-v1");
        hash.update(self.secret.as_ref());
        if let Some(source) = source {
            hash.update(source.bytes());
        }
        hash.update(name.to_ascii_lowercase());
        let digest: [u8; 32] = hash.finalize().into();
        let mut key = [0; 16];
        key.copy_from_slice(&digest[..16]);
        key
    }
}

/// A name as it is looked up: upper case folded. Nothing that could not be an account's name is looked up.
pub fn fold(name: &str) -> Option<AccountName> {
    AccountName::try_from(name.to_ascii_lowercase()).ok()
}

fn check_password(password: &str) -> Result<(), Fault> {
    match password.len() {
        1..=limits::PASSWORD_MAX => Ok(()),
        _ => Err(Code::BAD_PASSWORD.into()),
    }
}
