//! Accounts: making one, and proving to be one by password or by device key. Called by the gateway's handshake.
//!
//! Owns the rules of mission 1 to 6: what a stranger may learn (S9), how often he may guess (rule 3), what a hash costs.

pub mod credentials;
mod hasher;
pub mod invite;
mod lockout;
mod operator;
#[cfg(test)]
mod probing;
mod tries;
mod turns;

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chat_proto::fault::{Code, Fault};
use chat_proto::id::{AccountName, DeviceId, NameRule};
use chat_proto::limits;
use chat_proto::wire;
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

pub use hasher::{Checked, HashError, Hasher, Pepper};
pub use lockout::{Lockout, Rules};
pub use operator::Imported;

use credentials::file::{Added, CredentialsFile};

use crate::clock::Clock;
use crate::config::{LockoutBy, Registration};
use crate::files::FileError;
use crate::planted::planted;
use crate::rate::{PerKey, Rate};
use crate::settings::Live;
use crate::source::Source;
use crate::store::{
    AcctId, Answer, Asker, DevId, Failure, Fence, InviteHash, Login, NewDevice, Op, Query, Revoke, Store,
};
use crate::sync::lock;
use tries::Tries;

/// How accounts behave, from the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Who may make one.
    pub registration: Registration,
    /// A login with an unknown name may sign up.
    pub sign_up_at_login: bool,
    /// Which names there may be.
    pub names: NameRule,
    /// Who asks with a name learns whether somebody has it.
    pub tell_names: bool,
    /// A logout forgets the device's key.
    pub forget_device: bool,
    /// What a lock belongs to.
    pub lockout_by: LockoutBy,
    /// It holds for device keys too.
    pub lock_devices: bool,
    /// When it comes.
    pub lockout: Rules,
    /// Password logins of a source.
    pub logins: Rate,
    /// Passwords tried for a name.
    pub tries: Rate,
    /// New accounts of a source.
    pub newcomers: Rate,
}

/// What a stranger learns of a name before he proves anything (mission rule 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Nothing, not even whether it could be a name.
    Nothing,
    /// Nobody has it.
    Unknown,
    /// This account has it.
    Known(AcctId),
}

/// An account to be made.
struct NewAccount {
    name: AccountName,
    phc: String,
    device: NewDevice,
    invite: Option<InviteHash>,
}

/// A keyed digest of a password, for comparing alone.
type PasswordDigest = [u8; 32];

/// The credentials file and what stands in it.
struct Listed {
    // Held while an account is made: its line and its row come together, one account after the other.
    file: tokio::sync::Mutex<CredentialsFile>,
    // A short lock, as those below: the password that counts for a name, whatever hash the store has.
    passwords: Mutex<HashMap<AccountName, PasswordDigest>>,
}

/// A password that is to be checked, whose turn has come.
pub struct Attempt {
    source: Source,
    name: String,
    /// Of its failure counter.
    key: lockout::Key,
    password: Zeroizing<String>,
}

/// Somebody who knows the password of an account.
pub struct Proven {
    source: Source,
    /// The account.
    pub acct: AcctId,
    /// The hash that the password fits.
    phc: String,
    /// The password, where the hash is weaker than today's.
    stale: Option<Zeroizing<String>>,
}

/// The owner of the rules; one for the server.
pub struct Accounts<S> {
    store: Arc<S>,
    clock: Clock,
    live: Arc<Live>,
    hasher: Hasher,
    /// Keys the table of failures, so that it tells no names, and the passwords of the credentials file.
    secret: Zeroizing<[u8; 32]>,
    listed: Option<Listed>,
    // Short locks instead of an owner: each is held for one look-up and never across an await.
    lockout: Mutex<Lockout>,
    logins: Mutex<PerKey<Source>>,
    newcomers: Mutex<PerKey<Source>>,
    /// Passwords tried for one name, from everywhere.
    tries: Tries,
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
            tries: Tries::new(settings.tries),
            store,
            clock,
            live,
            hasher,
            secret,
            listed: None,
        }
    }

    /// The settings were replaced: what was counted goes on by the new rules.
    pub fn configured(&self) {
        let settings = self.live.get().accounts;
        lock(&self.lockout).set_rules(settings.lockout);
        lock(&self.logins).set_rate(settings.logins);
        lock(&self.newcomers).set_rate(settings.newcomers);
        self.tries.set_rate(settings.tries);
    }

    /// Reads the credentials file: names that nobody has become accounts; from now on new accounts are appended to it. What is
    /// wrong with a line goes to the log, by its number.
    pub async fn read_credentials(&mut self, path: &Path) -> Result<(), CredentialsError> {
        let (file, exposed) = CredentialsFile::open(path, self.names())?;
        let shown = file.path().display().to_string();
        if exposed {
            tracing::warn!(
                "{shown} holds passwords and others could read it; it is the server's alone now (mode 0600)"
            );
        }
        let content = file.read()?;
        let (mut passwords, mut fresh, mut bad) = (HashMap::new(), Vec::new(), 0);
        for (number, line) in credentials::lines(&content, self.names()) {
            match line {
                Ok(line) => {
                    passwords.insert(line.name.clone(), self.digest(line.password));
                    if self.credentials(line.name.clone()).await?.is_none() {
                        fresh.push((line.name, Zeroizing::new(line.password.to_owned())));
                    }
                }
                Err(problem) => {
                    bad += 1;
                    tracing::warn!("{shown} line {number} is left out: {problem}");
                }
            }
        }
        let (all, new) = (passwords.len(), fresh.len());
        self.add_all(fresh).await?;
        tracing::info!("{shown}: accounts {all}, new {new}, lines left out {bad}");
        self.listed = Some(Listed { file: tokio::sync::Mutex::new(file), passwords: Mutex::new(passwords) });
        Ok(())
    }

    /// Makes accounts without devices, hashing on as many threads as may.
    async fn add_all(&self, fresh: Vec<(AccountName, Zeroizing<String>)>) -> Result<(), Fault> {
        let mut fresh = fresh.into_iter();
        while let Some((name, password)) = fresh.next() {
            let first = self.add(name, password);
            match fresh.next() {
                Some((name, password)) => drop(tokio::try_join!(first, self.add(name, password))?),
                None => first.await?,
            }
        }
        Ok(())
    }

    async fn add(&self, name: AccountName, password: Zeroizing<String>) -> Result<(), Fault> {
        let phc = self.hasher.hash(Source::of(Ipv4Addr::LOCALHOST.into()), password).await?;
        self.ask(|answer| Op::AddAccount { name, phc, answer }).await.map(|_| ())
    }

    /// Password checks that run or wait.
    pub fn hashing(&self) -> usize {
        self.hasher.waiting()
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
        if self.listed.is_some() && !credentials::fits(&password) {
            return Err(Code::BAD_PASSWORD.into());
        }
        let name = AccountName::parse(name, self.names()).map_err(|_| Code::BAD_NAME)?;
        // Before the name is looked at: else names could be tried out as fast as one can ask.
        self.spend(&self.newcomers, source)?;
        if let Some(invite) = invite {
            self.check_invite(invite, &name).await?;
        }
        if self.credentials(name.clone()).await?.is_some() {
            return Err(Code::NAME_TAKEN.into());
        }
        let phc = self.hasher.hash(source, password.clone()).await?;
        let new = NewAccount { name, phc, device, invite };
        match &self.listed {
            None => self.create(new).await,
            Some(listed) => self.create_listed(listed, new, &password).await,
        }
    }

    async fn create(&self, new: NewAccount) -> Result<Login, Fault> {
        let NewAccount { name, phc, device, invite } = new;
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

    /// The line is on the disk before the account is: a kill between the two leaves a line, of which the next start makes the
    /// account that was asked for.
    async fn create_listed(
        &self,
        listed: &Listed,
        new: NewAccount,
        password: &Zeroizing<String>,
    ) -> Result<Login, Fault> {
        let name = new.name.clone();
        let file = listed.file.lock().await;
        if self.credentials(name.clone()).await?.is_some() {
            return Err(Code::NAME_TAKEN.into());
        }
        let (line, secret) = (name.clone(), password.clone());
        match change(&file, move |file| file.add(&line, &secret)).await? {
            Added::New | Added::Known => {}
            Added::Taken => return Err(Code::NAME_TAKEN.into()),
        }
        let made = self.create(new).await;
        match &made {
            Ok(_) => drop(lock(&listed.passwords).insert(name, self.digest(password))),
            // Unknown is not refused: what the store may have kept keeps its line.
            Err(fault) if fault.code != Code::STORAGE => change(&file, move |file| file.remove(&name)).await?,
            Err(_) => {}
        }
        made
    }

    /// What a stranger learns of a name. BAD_NAME where names are told of at all.
    pub async fn tell(&self, name: &str) -> Result<Told, Fault> {
        if !self.live.get().accounts.tell_names {
            return Ok(Told::Nothing);
        }
        let name = AccountName::parse(name, self.names()).map_err(|_| Code::BAD_NAME)?;
        Ok(self.credentials(name).await?.map_or(Told::Unknown, |(acct, _)| Told::Known(acct)))
    }

    /// How this server treats names and devices, for every client alike; a state of the name is added.
    pub fn manners(&self) -> wire::NameState {
        let settings = &self.live.get().accounts;
        wire::NameState {
            state: 0,
            sign_up: settings.sign_up_at_login && settings.registration == Registration::Open,
            keeps_case: settings.names == NameRule::Classic,
            forgets_device: settings.forget_device,
        }
    }

    /// The rule for the names of new accounts.
    pub fn names(&self) -> NameRule {
        self.live.get().accounts.names
    }

    /// A name as it is looked up. Nothing that could not be an account's name is looked up.
    pub fn look_up(&self, name: &str) -> Option<AccountName> {
        let folded = match self.names() {
            NameRule::Standard => name.to_ascii_lowercase(),
            NameRule::Classic => name.to_owned(),
        };
        AccountName::try_from(folded).ok()
    }

    /// Waits until a password may be checked, at most [`limits::TRY_WITHIN`]: many sources that guess at one name wait for each other
    /// (S12). Who waits is not refused for their sake: that would lock the owner out.
    pub async fn attempt(&self, source: Source, name: &str, password: Zeroizing<String>) -> Result<Attempt, Fault> {
        check_password(&password)?;
        self.spend(&self.logins, source)?;
        let key = self.key(source, name);
        self.refuse_locked(&key)?;
        let queued = tokio::time::timeout(limits::TRY_WITHIN, self.queue_for(source, name, &key));
        queued.await.unwrap_or_else(|_| Err(crowded()))?;
        Ok(Attempt { source, name: name.to_owned(), key, password })
    }

    /// Checks a password.
    pub async fn prove(&self, attempt: Attempt) -> Result<Proven, Fault> {
        let Attempt { source, name, key, password } = attempt;
        let name = self.look_up(&name);
        let known = match name.clone() {
            Some(name) => self.credentials(name).await?,
            None => None,
        };
        let phc = known.as_ref().map(|(_, phc)| phc.clone());
        let checked = self.as_listed(name, &password, self.hasher.check(source, password.clone(), phc).await?);
        // A lock that came meanwhile holds for this try too: guesses made at once are no more than guesses in a row.
        self.refuse_locked(&key)?;
        let Some((acct, phc)) = known.filter(|_| checked.right) else { return Err(self.wrong(key).await) };
        self.right(&key).await;
        Ok(Proven { source, acct, phc, stale: checked.stale.then_some(password) })
    }

    /// Enrols the device of somebody who proved to know the password.
    pub async fn enrol(&self, proven: Proven, device: NewDevice) -> Result<Login, Fault> {
        let Proven { source, acct, phc, stale } = proven;
        let old = phc.clone();
        let login = self.ask(|answer| Op::Enrol { acct, phc, device, answer }).await?;
        if let Some(password) = stale {
            self.rehash(source, acct, old, password).await;
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
        if self.listed.is_some() && !credentials::fits(&new) {
            return Err(Code::BAD_PASSWORD.into());
        }
        self.spend(&self.logins, source)?;
        let key = self.key(source, name.as_str());
        self.refuse_locked(&key)?;
        let known = self.credentials(name.clone()).await?;
        let phc = known.as_ref().map(|(_, phc)| phc.clone());
        let checked = self.hasher.check(source, old.clone(), phc).await?;
        let checked = self.as_listed(Some(name.clone()), &old, checked);
        self.refuse_locked(&key)?;
        let Some((acct, phc)) = known.filter(|_| checked.right) else { return Err(self.wrong(key).await) };
        self.right(&key).await;
        let asker = Some(Asker { fence, old: phc });
        let phc = self.hasher.hash(source, new.clone()).await?;
        let lost = self.ask(|answer| Op::SetPassword { acct, phc, revoke, asker, answer }).await?;
        self.relist(name, &new).await?;
        Ok(lost)
    }

    /// A password that was changed goes into the credentials file too, which has the last word on it.
    async fn relist(&self, name: &AccountName, password: &Zeroizing<String>) -> Result<(), Fault> {
        let Some(listed) = &self.listed else { return Ok(()) };
        let file = listed.file.lock().await;
        let (line, secret) = (name.clone(), password.clone());
        change(&file, move |file| file.set(&line, &secret)).await?;
        lock(&listed.passwords).insert(name.clone(), self.digest(password));
        Ok(())
    }

    /// Logs a device in by its key; `proven` says whether its proof fits a key. Unknown device, unknown account and wrong
    /// signature are one answer at one cost.
    pub async fn device(
        &self,
        source: Source,
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
        if self.live.get().accounts.lock_devices {
            self.refuse_locked(&self.key(source, name))?;
        }
        let name = self.look_up(name).ok_or(Code::WRONG_CREDENTIALS)?;
        let (answer, found) = oneshot::channel();
        self.store.query(Query::Device(name, id, answer));
        let found = found.await.map_err(|_| Fault::from(Code::INTERNAL))?;
        let proven = proven(found.as_ref().map_or(&NOBODY, |(_, key)| key));
        match found {
            Some((login, _)) if proven => Ok(login),
            _ => Err(Code::WRONG_CREDENTIALS.into()),
        }
    }

    /// The number of an account's device, as far as its id says: nothing is proven by it.
    pub async fn device_number(&self, name: &str, id: &[u8]) -> Option<DevId> {
        let (name, id) = (self.look_up(name)?, DeviceId::try_from(id).ok()?);
        let (answer, found) = oneshot::channel();
        self.store.query(Query::Device(name, id, answer));
        found.await.ok().flatten().map(|(login, _)| login.dev)
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

    async fn queue_for(&self, source: Source, name: &str, key: &lockout::Key) -> Result<(), Fault> {
        let of_name = self.hashed(None, name);
        let failures = lock(&self.lockout).failures(key);
        let _turn = self.tries.turn(of_name, source, failures).await.map_err(|_| crowded())?;
        loop {
            // A lock that came meanwhile: it takes no try from others.
            self.refuse_locked(key)?;
            let Err(wait) = self.tries.take(of_name, self.clock.mono_ms()) else { return Ok(()) };
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
    async fn rehash(&self, source: Source, acct: AcctId, old: String, password: Zeroizing<String>) {
        if let Ok(phc) = self.hasher.hash(source, password).await {
            self.store.submit(Op::Rehash { acct, old, phc }).await;
        }
    }

    /// The credentials file has the last word on a password; a hash that does not know it yet is made anew.
    fn as_listed(&self, name: Option<AccountName>, password: &str, checked: Checked) -> Checked {
        let Some((listed, name)) = self.listed.as_ref().zip(name) else { return checked };
        let Some(digest) = lock(&listed.passwords).get(&name).copied() else { return checked };
        let right = digest == self.digest(password);
        Checked { right, stale: right && (checked.stale || !checked.right) }
    }

    fn digest(&self, password: &str) -> PasswordDigest {
        let mut hash = Sha256::new();
        hash.update(b"chat-listed-v1");
        hash.update(self.secret.as_ref());
        hash.update(password);
        hash.finalize().into()
    }

    /// The key of a failure counter.
    fn key(&self, source: Source, name: &str) -> lockout::Key {
        self.hashed((self.live.get().accounts.lockout_by == LockoutBy::Source).then_some(source), name)
    }

    /// A keyed hash of the name as it would be looked up, exists or not. All keys of a name begin alike, so that the operator
    /// can lift all its locks.
    fn hashed(&self, source: Option<Source>, name: &str) -> lockout::Key {
        let name = self.look_up(name).map_or_else(|| name.to_owned(), String::from);
        let digest = |source: &[u8]| -> [u8; 32] {
            let mut hash = Sha256::new();
            hash.update(b"chat-lockout-v2");
            hash.update(self.secret.as_ref());
            hash.update(source);
            hash.update(&name);
            hash.finalize().into()
        };
        let mut key = [0; 16];
        let (of_name, of_both) = key.split_at_mut(lockout::NAME_BYTES);
        of_name.copy_from_slice(&digest(b"")[..of_name.len()]);
        if let Some(source) = source {
            of_both.copy_from_slice(&digest(&source.bytes())[..of_both.len()]);
        }
        key
    }
}

/// The credentials file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The file.
    #[error(transparent)]
    File(#[from] FileError),
    /// Its accounts could not be made.
    #[error("the accounts of the credentials file could not be made: {}", .0.code.name())]
    Store(Fault),
}

impl From<Fault> for CredentialsError {
    fn from(fault: Fault) -> CredentialsError {
        CredentialsError::Store(fault)
    }
}

/// Changes the credentials file, off the async threads: it waits for the disk.
async fn change<T: Send + 'static>(
    file: &CredentialsFile,
    work: impl FnOnce(&CredentialsFile) -> Result<T, FileError> + Send + 'static,
) -> Result<T, Fault> {
    let file = file.clone();
    let done = tokio::task::spawn_blocking(move || work(&file)).await.map_err(|_| Fault::from(Code::INTERNAL))?;
    done.map_err(|error| {
        tracing::error!(%error, "the credentials file could not be changed");
        Code::STORAGE.into()
    })
}

/// More try at one name than can be heard.
fn crowded() -> Fault {
    Fault::retry(Code::BUSY, limits::TRY_LATER_MAX)
}

fn check_password(password: &str) -> Result<(), Fault> {
    match password.len() {
        1..=limits::PASSWORD_MAX => Ok(()),
        _ => Err(Code::BAD_PASSWORD.into()),
    }
}
