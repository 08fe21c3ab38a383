//! What the operator may do to accounts that nobody else may. Called by the admin calls.

use chat_proto::fault::Fault;

use super::Accounts;
use crate::store::{AcctId, Store};

impl<S: Store> Accounts<S> {
    /// The account of this name; nothing when there is none, or when none could have the name.
    pub async fn find(&self, name: &str) -> Result<Option<AcctId>, Fault> {
        match self.look_up(name) {
            Some(name) => Ok(self.credentials(name).await?.map(|(acct, _)| acct)),
            None => Ok(None),
        }
    }
}
