//! The audit log: who did what from where, one line each, the address first and nothing of a client's before it (S25).
//!
//! Each line goes to the log and to files of its own ([`mod@file`]), which `export audit` reads. Lines that strangers cause are at
//! most one a second for each source (S1). Message text never gets here.

pub mod file;

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use chat_proto::limits::SOURCES_MAX;

use crate::admin::Caller;
use crate::clock::Clock;
use crate::config::Addresses;
use crate::settings::Live;
use crate::source::Source;
use crate::sync::lock;
use file::{AuditFile, Entry};

/// The writer of audit lines.
pub struct Audit {
    clock: Clock,
    live: Arc<Live>,
    file: AuditFile,
    /// When a stranger's line was last written, in seconds.
    written: Mutex<HashMap<Source, u64>>,
}

impl Audit {
    /// Nothing was written yet.
    pub fn new(clock: Clock, live: Arc<Live>, file: AuditFile) -> Audit {
        Audit { clock, live, file, written: Mutex::default() }
    }

    /// A line about somebody who is, or was, logged in.
    pub fn line(&self, peer: SocketAddr, account: &str, what: fmt::Arguments<'_>) {
        self.client(peer, Some(account), what);
    }

    /// A line about the operator: who he is on this host stands where an address stands otherwise.
    pub fn operator(&self, caller: &Caller, what: fmt::Arguments<'_>) {
        tracing::info!("{caller} {what}");
        self.write(caller.to_string(), what);
    }

    /// The line names address and account already; the journal can be searched for them besides.
    fn client(&self, peer: SocketAddr, account: Option<&str>, what: fmt::Arguments<'_>) {
        let (from, address) = match self.live.get().addresses {
            Addresses::Full => (Shown(peer).to_string(), Some(peer.ip().to_canonical().to_string())),
            Addresses::None => ("-".to_owned(), None),
        };
        tracing::info!(journal.address = address, journal.account = account, "{from} {what}");
        self.write(from, what);
    }

    fn write(&self, from: String, what: fmt::Arguments<'_>) {
        self.file.line(Entry { at_ms: self.clock.wall_ms(), from, text: what.to_string() });
    }

    /// Where the files are.
    pub fn directory(&self) -> &Path {
        self.file.directory()
    }

    /// Waits until the lines so far are in their file.
    pub async fn flushed(&self) {
        self.file.flushed().await;
    }

    /// A line about a stranger, unless he had one this second.
    pub fn stranger(&self, peer: SocketAddr, what: fmt::Arguments<'_>) {
        if self.may_have_line(peer) {
            self.client(peer, None, what);
        }
    }

    /// As [`Audit::stranger`], about one who was refused as `account`.
    pub fn refused(&self, peer: SocketAddr, account: &str, what: fmt::Arguments<'_>) {
        if self.may_have_line(peer) {
            self.client(peer, Some(account), what);
        }
    }

    fn may_have_line(&self, peer: SocketAddr) -> bool {
        let now = self.clock.mono_ms() / 1000;
        let mut written = lock(&self.written);
        if written.len() >= SOURCES_MAX {
            written.retain(|_, second| *second == now);
        }
        written.len() < SOURCES_MAX && written.insert(Source::of(peer.ip()), now) != Some(now)
    }
}

/// An address without the disguise of a dual-stack socket.
struct Shown(SocketAddr);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SocketAddr::new(self.0.ip().to_canonical(), self.0.port()).fmt(f)
    }
}
