//! Accounts, as the operator sees and changes them.

use chat_proto::fault::Code;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::{Call, Desk, Refusal};
use crate::store::{Query, Store, User};

/// All accounts.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct UserList {}

impl Call for UserList {
    const METHOD: &'static str = "user_list";
    type Reply = Vec<Row>;

    async fn answer<S: Store>(self, desk: &Desk<S>) -> Result<Vec<Row>, Refusal> {
        let (answer, users) = oneshot::channel();
        desk.store().query(Query::Users(answer));
        let users = users.await.map_err(|_| Refusal::new(Code::STORAGE))?;
        Ok(users.into_iter().map(Row::from).collect())
    }
}

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
}

impl From<User> for Row {
    fn from(user: User) -> Row {
        Row {
            name: user.name.into(),
            since_ms: user.since_ms,
            devices: user.devices,
            queued: user.waiting,
            online: user.online,
            last_seen_ms: (user.last_seen_ms > 0).then_some(user.last_seen_ms),
        }
    }
}
