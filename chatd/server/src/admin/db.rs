//! The operator's look at the database.

use std::sync::Arc;
use std::time::Duration;

use chat_proto::fault::Code;
use serde::{Deserialize, Serialize};

use super::{Call, Desk, Refusal};
use crate::store::{Contents, Store, StoreError};

/// All of a large database is read.
const WITHIN: Duration = Duration::from_secs(3600);

/// What the database holds.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct DbInfo {}

impl Call for DbInfo {
    const METHOD: &'static str = "db_info";
    type Reply = Contents;

    async fn answer<S: Store>(self, desk: &Desk<S>) -> Result<Contents, Refusal> {
        look(desk, |store| store.contents()).await
    }
}

/// Whether the database is sound.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct DbCheck {}

impl Call for DbCheck {
    const METHOD: &'static str = "db_check";
    const WITHIN: Duration = WITHIN;
    /// What is wrong; nothing when it is sound.
    type Reply = Vec<String>;

    async fn answer<S: Store>(self, desk: &Desk<S>) -> Result<Vec<String>, Refusal> {
        look(desk, |store| store.faults()).await
    }
}

/// Looks at the store where nobody waits for it.
async fn look<S: Store, T: Send + 'static>(
    desk: &Desk<S>,
    look: impl FnOnce(&S) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Refusal> {
    let store = Arc::clone(desk.store());
    let done = tokio::task::spawn_blocking(move || look(&store)).await;
    done.map_err(|_| Refusal::new(Code::INTERNAL))?.map_err(|error| {
        tracing::error!(%error, "the database cannot be read");
        Refusal::new(Code::INTERNAL).because(error.to_string())
    })
}
