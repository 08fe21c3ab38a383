//! The audit log, page by page.

use std::path::PathBuf;

use chat_proto::fault::Code;
use serde::{Deserialize, Serialize};

use super::{Call, Desk, Refusal};
use crate::audit::file::{self, Page, Place};
use crate::store::Store;

/// The lines behind a place.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct AuditPage {
    /// Where to go on; the oldest line when it is not given.
    #[serde(default)]
    pub from: Place,
}

impl Call for AuditPage {
    const METHOD: &'static str = "audit_page";
    type Reply = Page;

    async fn answer<S: Store>(self, desk: &Desk<S>) -> Result<Page, Refusal> {
        desk.audit().flushed().await;
        let dir: PathBuf = desk.audit().directory().to_owned();
        let read = tokio::task::spawn_blocking(move || file::page(&dir, self.from));
        let page = read.await.map_err(|_| Refusal::new(Code::INTERNAL))?;
        page.map_err(|error| Refusal::new(Code::INTERNAL).because(error.to_string()))
    }
}
