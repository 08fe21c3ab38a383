//! Accounts, as the operator sees and changes them.

use std::net::IpAddr;

use chat_proto::fault::{Code, Fault};
use chat_proto::id::AccountName;
use chat_proto::limits::PEOPLE_PAGE;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::{Call, Desk, Refusal, Secret};
use crate::account::Imported;
use crate::store::{self, Query, Revoke, Store, User};

/// An account for people and scripts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Name.
    pub name: String,
    /// When it was made, milliseconds since 1970.
    pub since_ms: i64,
    /// Enrolled devices.
    pub devices: u32,
    /// Messages that wait for it.
    pub queued: u64,
    /// Announced online now.
    pub online: bool,
    /// When its last session ended; nothing when it is online or never had one.
    pub last_seen_ms: Option<i64>,
    /// Locked by the operator.
    pub locked: bool,
    /// Its password's hash in PHC form, where it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
}

impl Row {
    fn of(user: User, hashes: bool) -> Row {
        Row {
            name: user.name.into(),
            since_ms: user.since_ms,
            devices: user.devices,
            queued: user.waiting,
            online: user.online,
            last_seen_ms: (user.last_seen_ms > 0).then_some(user.last_seen_ms),
            locked: user.locked,
            hash: hashes.then_some(user.phc),
        }
    }
}

/// A page of all accounts.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct UserList {
    /// Behind this name; empty for the first page.
    #[serde(default)]
    pub after: String,
    /// With the hashes of their passwords.
    #[serde(default)]
    pub hashes: bool,
}

/// A page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// In the order of names.
    pub rows: Vec<Row>,
    /// Ask again with the last name.
    pub more: bool,
}

impl Call for UserList {
    const METHOD: &'static str = "user_list";
    type Reply = Page;

    fn about(&self) -> String {
        if self.hashes { "with hashes".into() } else { String::new() }
    }

    async fn answer<S: Store>(self, desk: &Desk<S>) -> Result<Page, Refusal> {
        let mut users = users(desk, self.after, PEOPLE_PAGE + 1).await?;
        let more = users.len() > PEOPLE_PAGE;
        users.truncate(PEOPLE_PAGE);
        Ok(Page { rows: users.into_iter().map(|user| Row::of(user, self.hashes)).collect(), more })
    }
}

async fn users<S: Store>(desk: &Desk<S>, after: String, limit: usize) -> Result<Vec<User>, Refusal> {
    let (answer, users) = oneshot::channel();
    desk.store().query(Query::Users { after, limit, answer });
    users.await.map_err(|_| Refusal::new(Code::STORAGE))
}

/// One account with all that is known of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UserShow {
    /// Its name.
    pub name: String,
}

/// What is known of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// As in the list.
    pub row: Row,
    /// Its devices, oldest first.
    pub devices: Vec<Device>,
    /// From how many sources wrong passwords keep it locked now.
    pub password_locks: usize,
    /// For how many milliseconds at most.
    pub password_locks_left_ms: u64,
}

/// A device of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Its id.
    pub id: String,
    /// Its owner's name for it.
    pub name: String,
    /// When it was enrolled; nothing where that is not known.
    pub since_ms: Option<i64>,
    /// When its last session opened or ended; nothing when it never had one.
    pub last_seen_ms: Option<i64>,
}

impl From<store::Enrolled> for Device {
    fn from(device: store::Enrolled) -> Device {
        let some = |ms: i64| (ms > 0).then_some(ms);
        Device {
            id: device.id.to_string(),
            name: device.name,
            since_ms: some(device.since_ms),
            last_seen_ms: some(device.seen_ms),
        }
    }
}

impl Call for UserShow {
    const METHOD: &'static str = "user_show";
    type Reply = Account;

    fn about(&self) -> String {
        self.name.clone()
    }

    async fn answer<S: Store>(self, desk: &Desk<S>) -> Result<Account, Refusal> {
        let unknown = || Refusal::new(Code::UNKNOWN_USER).about(self.name.as_str());
        let name = desk.accounts().look_up(&self.name).ok_or_else(unknown)?;
        let acct = desk.accounts().find(name.as_str()).await?.ok_or_else(unknown)?;
        let (answer, devices) = oneshot::channel();
        desk.store().query(Query::Devices(acct, answer));
        let devices = devices.await.map_err(|_| Refusal::new(Code::STORAGE))?;
        let (answer, user) = oneshot::channel();
        desk.store().query(Query::User(name.clone(), answer));
        let user = user.await.map_err(|_| Refusal::new(Code::STORAGE))?.ok_or_else(unknown)?;
        let (password_locks, password_locks_left_ms) = desk.accounts().password_locks(name.as_str());
        let (row, devices) = (Row::of(user, false), devices.into_iter().map(Device::from).collect());
        Ok(Account { row, devices, password_locks, password_locks_left_ms })
    }
}

/// Make an account with a password.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UserAdd {
    /// Its name.
    pub name: String,
    /// Its password.
    pub password: Secret,
}

/// The account as it is called now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// Its name.
    pub name: String,
}

impl Call for UserAdd {
    const METHOD: &'static str = "user_add";
    type Reply = Named;

    fn about(&self) -> String {
        self.name.clone()
    }

    async fn answer<S: Store>(self, desk: &Desk<S>) -> Result<Named, Refusal> {
        let made = desk.accounts().make(&self.name, self.password.0).await;
        made.map(|name| Named { name: name.into() }).map_err(about(self.name))
    }
}

/// A refusal that speaks of this account.
fn about(name: String) -> impl FnOnce(Fault) -> Refusal {
    move |fault| Refusal::from(fault).about(name)
}

/// Delete an account for ever.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UserDel {
    /// Its name.
    pub name: String,
}

/// What went with an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deleted {
    /// Devices.
    pub devices: u32,
    /// Messages of others that waited for it: their senders are told.
    pub expired: u32,
}

impl Call for UserDel {
    const METHOD: &'static str = "user_del";
    type Reply = Deleted;

    fn about(&self) -> String {
        self.name.clone()
    }

    async fn answer<S: Store>(self, desk: &Desk<S>) -> Result<Deleted, Refusal> {
        let deleted = desk.accounts().delete(&self.name).await;
        deleted.map(|d| Deleted { devices: d.devices, expired: d.expired }).map_err(about(self.name))
    }
}

/// Give an account another password.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UserPasswd {
    /// Its name.
    pub name: String,
    /// The new password.
    pub password: Secret,
    /// Take the keys of its devices too.
    #[serde(default)]
    pub revoke_devices: bool,
}

/// How many devices lost their keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoked {
    /// Devices.
    pub revoked: u32,
}

impl Call for UserPasswd {
    const METHOD: &'static str = "user_passwd";
    type Reply = Revoked;

    fn about(&self) -> String {
        self.name.clone()
    }

    async fn answer<S: Store>(self, desk: &Desk<S>) -> Result<Revoked, Refusal> {
        let revoke = if self.revoke_devices { Revoke::All } else { Revoke::None };
        let revoked = desk.accounts().set_password(&self.name, self.password.0, revoke).await;
        revoked.map(|revoked| Revoked { revoked }).map_err(about(self.name))
    }
}

/// Lock an account: nobody logs in to it, its sessions end.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UserLock {
    /// Its name.
    pub name: String,
}

/// Whether it was otherwise before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// It was.
    pub changed: bool,
    /// Locks by wrong passwords that were lifted.
    #[serde(default)]
    pub lifted: usize,
}

impl Call for UserLock {
    const METHOD: &'static str = "user_lock";
    type Reply = Changed;

    fn about(&self) -> String {
        self.name.clone()
    }

    async fn answer<S: Store>(self, desk: &Desk<S>) -> Result<Changed, Refusal> {
        let changed = desk.accounts().set_locked(&self.name, true).await;
        changed.map(|changed| Changed { changed, lifted: 0 }).map_err(about(self.name))
    }
}

/// Lift the operator's lock and those by wrong passwords; with a source, the latter from there alone.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UserUnlock {
    /// The account's name.
    pub name: String,
    /// An address.
    #[serde(default)]
    pub source: Option<IpAddr>,
}

impl Call for UserUnlock {
    const METHOD: &'static str = "user_unlock";
    type Reply = Changed;

    fn about(&self) -> String {
        self.source.map_or_else(|| self.name.clone(), |source| format!("{} from {source}", self.name))
    }

    async fn answer<S: Store>(self, desk: &Desk<S>) -> Result<Changed, Refusal> {
        let accounts = desk.accounts();
        let changed = match self.source {
            None => accounts.set_locked(&self.name, false).await,
            Some(_) => match accounts.find(&self.name).await {
                Ok(found) => found.map(|_| false).ok_or_else(|| Code::UNKNOWN_USER.into()),
                Err(fault) => Err(fault),
            },
        };
        let changed = changed.map_err(about(self.name.clone()))?;
        Ok(Changed { changed, lifted: accounts.forgive(&self.name, self.source).await })
    }
}

/// Make the accounts of some lines of a credentials file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UserImport {
    /// The lines, about as many as are hashed within a second.
    pub items: Vec<Credential>,
    /// Change the password of an account that is there.
    pub update: bool,
    /// Change nothing.
    pub dry_run: bool,
}

/// A line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Credential {
    /// Name.
    pub name: String,
    /// Password.
    pub password: Secret,
}

impl Call for UserImport {
    const METHOD: &'static str = "user_import";
    type Reply = Vec<Imported>;

    fn about(&self) -> String {
        if self.dry_run { "dry run".into() } else { String::new() }
    }

    /// Two at once: as many as hash at once.
    async fn answer<S: Store>(mut self, desk: &Desk<S>) -> Result<Vec<Imported>, Refusal> {
        let second = self.items.split_off(self.items.len() / 2);
        let (update, dry_run) = (self.update, self.dry_run);
        let (first, second) =
            tokio::join!(import(desk, self.items, update, dry_run), import(desk, second, update, dry_run));
        let mut done = first?;
        done.extend(second?);
        Ok(done)
    }
}

async fn import<S: Store>(
    desk: &Desk<S>,
    items: Vec<Credential>,
    update: bool,
    dry_run: bool,
) -> Result<Vec<Imported>, Refusal> {
    let mut done = Vec::with_capacity(items.len());
    for Credential { name, password } in items {
        let bad = || Refusal::new(Code::BAD_NAME).about(name.as_str());
        let parsed = AccountName::parse(&name, desk.accounts().names()).map_err(|_| bad())?;
        let imported = desk.accounts().import(&parsed, password.0, update, dry_run).await;
        done.push(imported.map_err(about(name))?);
    }
    Ok(done)
}
