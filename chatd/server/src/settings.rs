//! What may change while the server runs: one value, swapped whole by a reload, read by whoever decides by it.
//!
//! Made by the assembly from the configuration. The store's settings go through its writer's order instead
//! ([`crate::store::Op::Configure`]), since the writer owns them.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use crate::config::Addresses;
use crate::{account, gateway};

/// The settings of one configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How sessions behave.
    pub sessions: gateway::Settings,
    /// How accounts behave.
    pub accounts: account::Settings,
    /// Who comes and goes is told to the others.
    pub announce: bool,
    /// Whether addresses of clients are logged.
    pub addresses: Addresses,
}

/// The settings as they are now.
// A swap instead of a lock: every message of every session reads it, and nobody may wait for a reload.
#[derive(Debug)]
pub struct Live(ArcSwap<Settings>);

impl Live {
    /// These, until they are replaced.
    pub fn new(settings: Settings) -> Arc<Live> {
        Arc::new(Live(ArcSwap::from_pointee(settings)))
    }

    /// As they are now; not to be kept across an await.
    pub fn get(&self) -> Guard<Arc<Settings>> {
        self.0.load()
    }

    /// From now on these.
    pub fn set(&self, settings: Settings) {
        self.0.store(Arc::new(settings));
    }
}
