//! Making a backup: by the server that runs, so that it is one state and belongs to the server's user.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chat_proto::fault::Code;
use serde::{Deserialize, Serialize};

use super::{Call, Desk, Refusal};
use crate::backup::{self, BackupError, Made, Manifest};
use crate::clock::Clock;
use crate::config::Config;
use crate::store::Store;

/// A large database on a slow disk takes its time.
const WITHIN: Duration = Duration::from_secs(3600);

/// Makes a backup.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct BackupCreate {
    /// Where, instead of where the configuration says; an absolute path.
    pub dir: Option<PathBuf>,
    /// Older ones there go, save this many in all.
    pub keep: Option<usize>,
}

/// A backup that was made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BackupMade {
    /// Where it is.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// What is in it.
    pub manifest: Manifest,
    /// How many older ones went.
    pub removed: usize,
}

impl Call for BackupCreate {
    const METHOD: &'static str = "backup_create";
    const WITHIN: Duration = WITHIN;
    type Reply = BackupMade;

    async fn answer<S: Store>(self, desk: &Desk<S>) -> Result<BackupMade, Refusal> {
        let _alone = match desk {
            Desk::Open(running) => Some(running.backing_up.lock().await),
            Desk::Closed(_) => None,
        };
        let (config, store) = (desk.config(), Arc::clone(desk.store()));
        let done = tokio::task::spawn_blocking(move || self.create(&config, &*store)).await;
        done.map_err(|_| Refusal::new(Code::INTERNAL))?.map_err(|error| {
            tracing::error!(%error, "no backup was made");
            Refusal::new(Code::DISK_FULL).about("backup").because(error.to_string())
        })
    }
}

impl BackupCreate {
    fn create<S: Store>(self, config: &Config, store: &S) -> Result<BackupMade, BackupError> {
        let dir = self.dir.unwrap_or_else(|| config.backups.clone());
        let made = backup::create(config, &dir, Clock::start().wall_ms(), |to| store.copy(to))?;
        let removed = match self.keep {
            // The new one is not an older one.
            Some(keep) => backup::prune(&dir, keep.max(1))?.len(),
            None => 0,
        };
        let Made { path, bytes, manifest } = made;
        tracing::info!(file = %path.display(), bytes, "a backup was made");
        Ok(BackupMade { path, bytes, manifest, removed })
    }
}
