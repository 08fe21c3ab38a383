//! What the operator may do to accounts that nobody else may. Called by the admin calls.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use chat_proto::fault::{Code, Fault};
use chat_proto::id::AccountName;
use zeroize::Zeroizing;

use super::{Accounts, check_password};
use crate::source::Source;
use crate::store::{AcctId, Deleted, Op, Query, Revoke, Store};
use crate::sync::lock;

/// What became of an account that was to be imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Imported {
    /// It was made, or would be.
    Added,
    /// It was there; its password was changed, or would be.
    Updated,
    /// It was there with this password.
    Unchanged,
    /// It was there and stays as it is.
    Exists,
    /// Its name was an account's that was deleted, or is kept for an invitation.
    Taken,
}

impl<S: Store> Accounts<S> {
    /// The account of this name; nothing when there is none, or when none could have the name.
    pub async fn find(&self, name: &str) -> Result<Option<AcctId>, Fault> {
        match self.look_up(name) {
            Some(name) => Ok(self.credentials(name).await?.map(|(acct, _)| acct)),
            None => Ok(None),
        }
    }

    async fn known(&self, name: &str) -> Result<AcctId, Fault> {
        self.find(name).await?.ok_or_else(|| Code::UNKNOWN_USER.into())
    }

    /// Makes an account without a device.
    pub async fn make(&self, name: &str, password: Zeroizing<String>) -> Result<AccountName, Fault> {
        check_password(&password)?;
        let name = AccountName::parse(name, self.names()).map_err(|_| Code::BAD_NAME)?;
        // Before the hash: it costs.
        if self.taken(&name).await? {
            return Err(Code::NAME_TAKEN.into());
        }
        let phc = self.hash_in_turn(password).await?;
        self.ask(|answer| Op::AddAccount { name: name.clone(), phc, answer }).await?;
        Ok(name)
    }

    /// Where a credentials file has the last word on passwords, another one must be written there.
    fn refuse_listed(&self) -> Result<(), Fault> {
        if self.listed.is_some() { Err(Code::FORBIDDEN.into()) } else { Ok(()) }
    }

    /// Another password. FORBIDDEN where a credentials file has the last word. Answers how many devices lost their keys.
    pub async fn set_password(&self, name: &str, password: Zeroizing<String>, revoke: Revoke) -> Result<u32, Fault> {
        check_password(&password)?;
        let acct = self.known(name).await?;
        self.refuse_listed()?;
        let phc = self.hash_in_turn(password).await?;
        self.ask(|answer| Op::SetPassword { acct, phc, revoke, asker: None, answer }).await
    }

    /// Locks an account, or unlocks it. Answers whether that changed anything.
    pub async fn set_locked(&self, name: &str, on: bool) -> Result<bool, Fault> {
        let acct = self.known(name).await?;
        let now_ms = self.clock.wall_ms();
        self.ask(|answer| Op::Lock { acct, on, now_ms, answer }).await
    }

    /// Deletes an account.
    pub async fn delete(&self, name: &str) -> Result<Deleted, Fault> {
        let acct = self.known(name).await?;
        let now_ms = self.clock.wall_ms();
        self.ask(|answer| Op::DeleteAccount { acct, now_ms, answer }).await
    }

    /// From how many sources, or whether at all, wrong passwords keep a name locked, and for how many milliseconds at most.
    pub fn password_locks(&self, name: &str) -> (usize, u64) {
        let left = lock(&self.lockout).locks_of(&self.hashed(None, name), self.clock.mono_ms());
        (left.len(), left.into_iter().max().unwrap_or(0))
    }

    /// Forgets the wrong passwords of a name: those from one address, or all. Answers how many locks that lifted.
    pub async fn forgive(&self, name: &str, from: Option<IpAddr>) -> usize {
        let now = self.clock.mono_ms();
        let (lifted, forgotten) = {
            let mut table = lock(&self.lockout);
            match from {
                Some(address) => {
                    let key = self.key(Source::of(address), name);
                    (usize::from(table.left(&key, now).is_some()), table.right(&key).into_iter().collect())
                }
                None => {
                    let key = self.hashed(None, name);
                    (table.locks_of(&key, now).len(), table.forget_name(&key))
                }
            }
        };
        let forgotten: Vec<_> = forgotten;
        self.keep(forgotten).await;
        lifted
    }

    /// Makes the account that a line of a credentials file names, or changes its password where `update` says so; with
    /// `dry_run` only says what would become of it.
    pub async fn import(
        &self,
        name: &AccountName,
        password: Zeroizing<String>,
        update: bool,
        dry_run: bool,
    ) -> Result<Imported, Fault> {
        check_password(&password)?;
        let Some((acct, phc)) = self.credentials(name.clone()).await? else {
            if self.taken(name).await? {
                return Ok(Imported::Taken);
            }
            if dry_run {
                return Ok(Imported::Added);
            }
            return match self.make(name.as_str(), password).await {
                Ok(_) => Ok(Imported::Added),
                // Somebody was quicker.
                Err(fault) if fault.code == Code::NAME_TAKEN => Ok(Imported::Exists),
                Err(fault) => Err(fault),
            };
        };
        if !update {
            return Ok(Imported::Exists);
        }
        if self.fits_in_turn(&password, &phc).await? {
            return Ok(Imported::Unchanged);
        }
        if !dry_run {
            let phc = self.hash_in_turn(password).await?;
            self.ask(|answer| Op::SetPassword { acct, phc, revoke: Revoke::None, asker: None, answer }).await?;
        }
        Ok(Imported::Updated)
    }

    /// Hashes for the operator, who waits for his turn among logins however many there are.
    async fn hash_in_turn(&self, password: Zeroizing<String>) -> Result<String, Fault> {
        loop {
            match self.hasher.hash(operator(), password.clone()).await {
                Err(fault) if fault.code == Code::BUSY => busy(&fault).await,
                done => return done,
            }
        }
    }

    async fn fits_in_turn(&self, password: &Zeroizing<String>, phc: &str) -> Result<bool, Fault> {
        loop {
            match self.hasher.check(operator(), password.clone(), Some(phc.to_owned())).await {
                Err(fault) if fault.code == Code::BUSY => busy(&fault).await,
                done => return Ok(done?.right),
            }
        }
    }

    /// Whether a name can be given to nobody any more, or not now.
    async fn taken(&self, name: &AccountName) -> Result<bool, Fault> {
        let (answer, taken) = tokio::sync::oneshot::channel();
        self.store.query(Query::Taken(name.clone(), answer));
        taken.await.map_err(|_| Code::INTERNAL.into())
    }
}

/// Where the operator's hashes come from, among the sources that take turns.
fn operator() -> Source {
    Source::of(Ipv4Addr::UNSPECIFIED.into())
}

async fn busy(fault: &Fault) {
    tokio::time::sleep(Duration::from_millis(fault.retry_after_ms.unwrap_or(1_000))).await;
}
