//! What is counted and measured for monitoring: how much, how often, how long; never who or what. Counted by gateway and store as
//! things happen, read as text by [`crate::http`].

use std::fmt;
use std::time::Duration;

use chat_proto::fault::Code;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

use crate::private::relay::Carried;
use crate::store::Round;

/// One label: how it ended, or why.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Outcome {
    outcome: &'static str,
}

/// A login: by what, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Login {
    by: &'static str,
    outcome: &'static str,
}

type Outcomes = Family<Outcome, Counter>;

/// Everything that is counted as it happens, and the gauges that a scrape fills.
pub struct Metrics {
    registry: Registry,
    logins: Family<Login, Counter>,
    messages: Outcomes,
    /// The one of `messages` that nearly all are: found without a look into the table.
    accepted: Counter,
    later: Outcomes,
    /// Entries given to devices.
    pub delivered: Counter,
    turned_away: Outcomes,
    ended: Outcomes,
    /// Changes of presence that were announced.
    pub presence: Counter,
    private_requests: Outcomes,
    relay_bytes: Counter,
    relay_refused: Counter,
    commit: Histogram,
    batch: Histogram,
    reloads: Outcomes,
    /// What a scrape looks up.
    pub now: Now,
}

macro_rules! now {
    ($($(#[doc = $doc:literal])+ $field:ident, $name:literal, $help:literal;)+) => {
        /// Gauges that are looked up when somebody scrapes.
        #[derive(Default)]
        pub struct Now {
            $($(#[doc = $doc])+ pub $field: Gauge,)+
        }

        impl Now {
            fn register(&self, registry: &mut Registry) {
                $(registry.register($name, $help, self.$field.clone());)+
            }
        }
    };
}

now! {
    /// Open sessions.
    sessions, "sessions", "Open sessions";
    /// Connections that are not logged in.
    strangers, "strangers", "Connections that are not logged in";
    /// Accounts announced online.
    online, "accounts_online", "Accounts announced online";
    /// Accounts.
    accounts, "accounts", "Accounts";
    /// Messages that wait.
    queued, "inbox_messages", "Messages that wait for accounts";
    /// Rows of the log.
    log_rows, "log_rows", "Rows of the store's log: kept messages and verdicts";
    /// Bytes of the database.
    database, "database_bytes", "Size of the database";
    /// Operations that wait for the writer.
    waiting, "store_queue", "Operations that wait for the store's writer";
    /// Rows behind the fold mark.
    unfolded, "store_unfolded", "Log rows that wait for the folder";
    /// Free bytes on the store's disk.
    free, "disk_free_bytes", "Free bytes on the store's disk";
    /// Below this no message is accepted.
    floor, "disk_reserve_bytes", "Free bytes below which no message is accepted";
    /// 1 while messages are accepted.
    accepting, "accepting", "1 while messages are accepted, 0 for want of room";
    /// 1 while everything that a client needs works.
    ready, "ready", "1 while /readyz says so";
    /// Seconds until the certificate ends.
    certificate, "certificate_seconds_left", "Seconds until the certificate ends; below 0: since";
    /// Seconds since the last backup.
    backup, "backup_age_seconds", "Seconds since the last backup; -1: there is none";
    /// Logins that hash or wait for it.
    hashing, "password_checks_waiting", "Password checks that run or wait";
    /// Seconds since the start.
    uptime, "uptime_seconds", "Seconds since the server started";
    /// Bytes of memory.
    memory, "memory_bytes", "Resident memory of the process";
    /// Open files.
    files, "open_files", "Open files of the process";
    /// Connections to the relay.
    relay, "relay_connections", "Connections to the relay for private sessions";
    /// Keys that wait for a restart.
    restart, "restart_pending_keys", "Keys of the configuration whose new value counts from the next start";
}

impl Default for Metrics {
    fn default() -> Metrics {
        let mut registry = Registry::with_prefix("chat");
        let r = &mut registry;
        let now = Now::default();
        now.register(r);
        let messages: Outcomes = named(r, "messages", "Messages that were decided, by how");
        let accepted = messages.get_or_create(&Outcome { outcome: Code::ACCEPTED.name() }).clone();
        let metrics = Metrics {
            accepted,
            messages,
            logins: named(r, "logins", "Logins and registrations by how they ended"),
            later: named(r, "try_later", "Times that a sender was asked to wait, by why"),
            delivered: named(r, "deliveries", "Messages given to devices"),
            turned_away: named(r, "turned_away", "Connections that were closed before a login, by why"),
            ended: named(r, "sessions_ended", "Sessions that ended, by why"),
            presence: named(r, "presence_changes", "Changes of presence that were announced"),
            private_requests: named(r, "private_requests", "Private requests, by how they were taken"),
            relay_bytes: named(r, "relay_bytes", "Bytes that the relay was given to pass on"),
            relay_refused: named(r, "relay_refused", "Connections that the relay did not admit"),
            reloads: named(r, "reloads", "Times that configuration and certificate were read anew"),
            commit: histogram(r, "commit_seconds", "Time of a commit with its flush", 0.0001, 2.0, 16),
            batch: histogram(r, "batch_operations", "Operations that were committed together", 1.0, 2.0, 11),
            now,
            registry,
        };
        metrics.begin();
        metrics
    }
}

fn named<M: Clone + Default + Metric + EncodeMetric>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

/// With `count` bounds from `first` on, each `factor` times the one before.
fn histogram(registry: &mut Registry, name: &str, help: &str, first: f64, factor: f64, count: i32) -> Histogram {
    let metric = Histogram::new((0..count).map(|n| first * factor.powi(n)));
    registry.register(name, help, metric.clone());
    metric
}

impl Metrics {
    /// What has not happened yet is 0 and not missing: a rate of nothing is none.
    fn begin(&self) {
        for by in ["key", "password", "register"] {
            drop(self.logins.get_or_create(&Login { by, outcome: Code::ACCEPTED.name() }));
        }
        for (family, outcomes) in [
            (&self.later, [Code::SLOW_DOWN.name(), Code::STORAGE.name()]),
            (&self.turned_away, ["full", "too_many_strangers"]),
            (&self.ended, ["logout", "link_lost"]),
            (&self.reloads, ["done", "refused"]),
            (&self.private_requests, [Code::ACCEPTED.name(), Code::OFFLINE.name()]),
        ] {
            for outcome in outcomes {
                drop(family.get_or_create(&Outcome { outcome }));
            }
        }
    }

    /// Somebody logged in, or was refused, by the words of the audit log: `login by key`, `login by password`, `register`.
    pub fn login(&self, how: &'static str, outcome: Code) {
        let by = how.strip_prefix("login by ").unwrap_or(how);
        self.logins.get_or_create(&Login { by, outcome: outcome.name() }).inc();
    }

    /// A message was decided.
    pub fn message(&self, outcome: Code) {
        if outcome == Code::ACCEPTED {
            self.accepted.inc();
        } else {
            self.messages.get_or_create(&Outcome { outcome: outcome.name() }).inc();
        }
    }

    /// How many messages were accepted.
    pub fn accepted(&self) -> u64 {
        self.accepted.get()
    }

    /// A sender was asked to wait.
    pub fn later(&self, why: Code) {
        self.later.get_or_create(&Outcome { outcome: why.name() }).inc();
    }

    /// A connection was closed before a login. `why` is one of a few words.
    pub fn turned_away(&self, why: &'static str) {
        self.turned_away.get_or_create(&Outcome { outcome: why }).inc();
    }

    /// A session ended.
    pub fn ended(&self, why: &'static str) {
        self.ended.get_or_create(&Outcome { outcome: why }).inc();
    }

    /// A private request was taken, or refused.
    pub fn private_request(&self, outcome: Code) {
        self.private_requests.get_or_create(&Outcome { outcome: outcome.name() }).inc();
    }

    /// What the relay did since the start, by its own count.
    pub fn relay(&self, carried: &Carried) {
        self.now.relay.set(i64::try_from(carried.connections).unwrap_or(i64::MAX));
        self.relay_bytes.inc_by(carried.bytes.saturating_sub(self.relay_bytes.get()));
        self.relay_refused.inc_by(carried.refused.saturating_sub(self.relay_refused.get()));
    }

    /// The configuration was read anew, or not.
    pub fn reload(&self, done: bool) {
        self.reloads.get_or_create(&Outcome { outcome: if done { "done" } else { "refused" } }).inc();
    }

    /// The store's writer committed.
    pub fn committed(&self, round: &Round) {
        self.batch.observe(round.operations as f64);
        if let Some(took) = round.commit {
            self.commit.observe(took.as_secs_f64());
        }
    }

    /// All of it in the text form that Prometheus reads.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// Seconds, as a gauge takes them.
pub fn seconds(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

/// Bytes of memory and open files of this process, where the system tells.
pub fn process() -> Option<(i64, i64)> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: i64 = resident.split_whitespace().next()?.parse().ok()?;
    let files = std::fs::read_dir("/proc/self/fd").ok()?.count();
    Some((kib * 1024, i64::try_from(files).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_read() {
        let metrics = Metrics::default();
        metrics.message(Code::ACCEPTED);
        metrics.message(Code::ACCEPTED);
        metrics.message(Code::UNKNOWN_USER);
        metrics.login("login by password", Code::WRONG_CREDENTIALS);
        metrics.committed(&Round { operations: 3, commit: Some(Duration::from_micros(300)) });
        metrics.now.sessions.set(7);
        let text = metrics.text().unwrap();
        for line in [
            "chat_messages_total{outcome=\"accepted\"} 2",
            "chat_messages_total{outcome=\"unknown_user\"} 1",
            "chat_logins_total{by=\"password\",outcome=\"wrong_credentials\"} 1",
            "chat_commit_seconds_count 1",
            "chat_batch_operations_sum 3.0",
            "chat_sessions 7",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in {text}");
        }
        assert!(process().is_some_and(|(memory, files)| memory > 0 && files > 0));
    }
}
