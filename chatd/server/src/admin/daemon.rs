//! The running server itself: how it is, who keeps it busy, its configuration read anew, how much it logs, its end.

use std::time::Duration;

use chat_proto::fault::Code;
use serde::{Deserialize, Serialize};

use super::{Call, Desk, Refusal};
use crate::config::Level;
use crate::running::{Reloaded, Status, Top};
use crate::store::Store;

/// Longest look at who is busy.
const WATCH_MAX: Duration = Duration::from_secs(30);
/// Most accounts of one look.
const BUSY_MAX: usize = 200;

/// How the server is.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct GetStatus {}

impl Call for GetStatus {
    const METHOD: &'static str = "status";
    const LIVE: bool = true;
    type Reply = Status;

    async fn answer<S: Store>(self, desk: &Desk<S>) -> Result<Status, Refusal> {
        Ok(desk.running()?.status().await)
    }
}

/// Who keeps the server busy.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct GetTop {
    /// Watched for so many milliseconds.
    pub over_ms: u64,
    /// The busiest so many.
    pub count: usize,
}

impl Call for GetTop {
    const METHOD: &'static str = "top";
    const LIVE: bool = true;
    type Reply = Top;

    async fn answer<S: Store>(self, desk: &Desk<S>) -> Result<Top, Refusal> {
        let time = Duration::from_millis(self.over_ms).min(WATCH_MAX);
        Ok(desk.running()?.top(time, self.count.min(BUSY_MAX)).await)
    }
}

/// Reads configuration and certificate anew.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Reload {}

impl Call for Reload {
    const METHOD: &'static str = "reload";
    const LIVE: bool = true;
    type Reply = Reloaded;

    async fn answer<S: Store>(self, desk: &Desk<S>) -> Result<Reloaded, Refusal> {
        let running = desk.running()?;
        running.reload().await.map_err(|error| {
            tracing::error!(%error, "the old settings stay in force");
            Refusal::new(Code::BAD_CONFIG).because(running.short(&error))
        })
    }
}

/// Logs more, or less.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct LogLevel {
    /// So much.
    pub level: Level,
    /// For so many seconds; nothing: until it is changed again.
    pub for_s: Option<u64>,
}

impl Call for LogLevel {
    const METHOD: &'static str = "log_level";
    const LIVE: bool = true;
    type Reply = ();

    async fn answer<S: Store>(self, desk: &Desk<S>) -> Result<(), Refusal> {
        desk.running()?.log_level(self.level, self.for_s.map(Duration::from_secs));
        Ok(())
    }
}

/// Ends the server.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Stop {
    /// Sessions get so many milliseconds for their last words.
    pub grace_ms: u64,
}

impl Call for Stop {
    const METHOD: &'static str = "stop";
    const LIVE: bool = true;
    type Reply = ();

    async fn answer<S: Store>(self, desk: &Desk<S>) -> Result<(), Refusal> {
        desk.running()?.ask_to_stop(Duration::from_millis(self.grace_ms));
        Ok(())
    }
}
