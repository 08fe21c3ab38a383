//! The audit log: who did what from where, one line each, the address first and nothing of a client's before it (S25).
//!
//! Lines that strangers cause are at most one a second for each source (S1). Message text never gets here.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use chat_proto::display;
use chat_proto::limits::SOURCES_MAX;

use crate::admin::Caller;
use crate::clock::Clock;
use crate::config::Addresses;
use crate::settings::Live;
use crate::source::Source;
use crate::sync::lock;

/// The writer of audit lines.
pub struct Audit {
    clock: Clock,
    live: Arc<Live>,
    /// When a stranger's line was last written, in seconds.
    written: Mutex<HashMap<Source, u64>>,
}

impl Audit {
    /// Nothing was written yet.
    pub fn new(clock: Clock, live: Arc<Live>) -> Audit {
        Audit { clock, live, written: Mutex::default() }
    }

    /// A line about somebody who is, or was, logged in.
    pub fn line(&self, peer: SocketAddr, what: fmt::Arguments<'_>) {
        match self.live.get().addresses {
            Addresses::Full => tracing::info!("{} {what}", Shown(peer)),
            Addresses::None => tracing::info!("- {what}"),
        }
    }

    /// A line about the operator: who he is on this host stands where an address stands otherwise.
    pub fn operator(&self, caller: &Caller, what: fmt::Arguments<'_>, about: &str) {
        if about.is_empty() {
            tracing::info!("{caller} {what}");
        } else {
            tracing::info!("{caller} {what}: {}", display::line(about));
        }
    }

    /// A line about a stranger, unless he had one this second.
    pub fn stranger(&self, peer: SocketAddr, what: fmt::Arguments<'_>) {
        let now = self.clock.mono_ms() / 1000;
        let mut written = lock(&self.written);
        if written.len() >= SOURCES_MAX {
            written.retain(|_, second| *second == now);
        }
        let may = written.len() < SOURCES_MAX && written.insert(Source::of(peer.ip()), now) != Some(now);
        drop(written);
        if may {
            self.line(peer, what);
        }
    }
}

/// An address without the disguise of a dual-stack socket.
struct Shown(SocketAddr);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SocketAddr::new(self.0.ip().to_canonical(), self.0.port()).fmt(f)
    }
}
