//! What a call works on: the running server, or the store of one that does not run. Made by the assembly.

use std::sync::Arc;

use chat_proto::display;
use chat_proto::fault::Code;

use super::{Caller, Refusal};
use crate::account::Accounts;
use crate::audit::Audit;
use crate::config::Config;
use crate::gateway::Gateway;
use crate::running::Running;
use crate::store::Store;

/// Characters of what a caller wrote that get into the audit log: no name is as long.
const SHOWN_MAX: usize = 128;

/// The operator's place.
pub enum Desk<S: Store> {
    /// At the running server.
    Open(Arc<Running<S>>),
    /// At the store of one that does not run, whose lock is held.
    Closed(Box<Closed<S>>),
}

/// What there is while no server runs.
pub struct Closed<S: Store> {
    /// The configuration.
    pub config: Arc<Config>,
    /// The store.
    pub store: Arc<S>,
    /// The rules about accounts.
    pub accounts: Accounts<S>,
    /// The audit log.
    pub audit: Audit,
}

impl<S: Store> Desk<S> {
    /// The store.
    pub fn store(&self) -> &Arc<S> {
        match self {
            Desk::Open(running) => &running.gateway.store,
            Desk::Closed(closed) => &closed.store,
        }
    }

    /// The configuration that counts.
    pub fn config(&self) -> Arc<Config> {
        match self {
            Desk::Open(running) => running.config(),
            Desk::Closed(closed) => Arc::clone(&closed.config),
        }
    }

    /// The rules about accounts.
    pub fn accounts(&self) -> &Accounts<S> {
        match self {
            Desk::Open(running) => &running.gateway.accounts,
            Desk::Closed(closed) => &closed.accounts,
        }
    }

    /// The running server as its operator has it.
    pub fn running(&self) -> Result<&Arc<Running<S>>, Refusal> {
        match self {
            Desk::Open(running) => Ok(running),
            Desk::Closed(_) => Err(Code::SERVER_UNREACHABLE.into()),
        }
    }

    /// What all connections of the running server share.
    pub fn live(&self) -> Result<&Arc<Gateway<S>>, Refusal> {
        match self {
            Desk::Open(running) => Ok(&running.gateway),
            Desk::Closed(_) => Err(Code::SERVER_UNREACHABLE.into()),
        }
    }

    /// The audit log.
    pub fn audit(&self) -> &Audit {
        match self {
            Desk::Open(running) => &running.gateway.audit,
            Desk::Closed(closed) => &closed.audit,
        }
    }

    /// A line of the audit log: who asked for what, and how it ended. A caller that asks the same again and again, to follow it
    /// or page by page, is written down once; `before` is what he asked last.
    pub(super) fn note(
        &self,
        caller: &Caller,
        before: &mut String,
        method: &str,
        about: &str,
        refused: Option<&Refusal>,
    ) {
        let colon = if about.is_empty() { "" } else { ": " };
        let outcome = refused.map_or("done", |refusal| refusal.code.name());
        let said = format!("{} {outcome}{colon}{}", shown(method), shown(about));
        if *before != said {
            self.audit().operator(caller, format_args!("{said}"));
        }
        *before = said;
    }
}

fn shown(text: &str) -> String {
    display::line(&text.chars().take(SHOWN_MAX).collect::<String>()).into_owned()
}
