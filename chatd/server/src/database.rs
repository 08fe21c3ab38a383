//! The database of a stopped server: brought up to date, or rewritten without gaps. Called by the operator's verbs; both hold
//! the store's lock, so that no server starts meanwhile.

use std::fs;
use std::path::Path;

use crate::backup::{BackupError, Made};
use crate::config::Config;
use crate::start;
use crate::store::StoreError;
use crate::store::sqlite::{self, whole};
use crate::{StartError, prepare_store};

/// What an upgrade did.
#[derive(Clone, Debug)]
pub struct Upgraded {
    /// The schema before.
    pub from: i64,
    /// The schema now.
    pub to: i64,
    /// The database as it was; nothing when there was nothing to do.
    pub backup: Option<Made>,
}

/// Copies a database into a new file.
pub type Copy<'a> = &'a dyn Fn(&Path) -> Result<(), StoreError>;

/// Brings the database up to date; `save` makes a backup of it first.
pub fn upgrade(config: &Config, save: impl FnOnce(Copy<'_>) -> Result<Made, BackupError>) -> anyhow::Result<Upgraded> {
    let (before, saved) = {
        let _lock = locked(config)?;
        let before = whole::contents(&sqlite::file(&config.data)).map_err(StartError::from)?;
        let saved = if before.current { None } else { Some(save(&|to| whole::copy(&config.data, to))?) };
        (before, saved)
    };
    if saved.is_some() {
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(prepare_store(config))?;
    }
    let after = whole::contents(&sqlite::file(&config.data)).map_err(StartError::from)?;
    Ok(Upgraded { from: before.schema, to: after.schema, backup: saved })
}

/// Rewrites the database; answers its size before and after.
pub fn vacuum(config: &Config) -> Result<(u64, u64), StartError> {
    let _lock = locked(config)?;
    let size = || fs::metadata(sqlite::file(&config.data)).map_or(0, |file| file.len());
    let before = size();
    whole::vacuum(&config.data)?;
    Ok((before, size()))
}

fn locked(config: &Config) -> Result<fs::File, StartError> {
    start::refuse_half_restored(config)?;
    // Nothing there is not an empty database.
    start::keys(config)?;
    Ok(sqlite::lock(&config.data)?)
}
