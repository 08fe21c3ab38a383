//! `user`: accounts.

use std::fmt::Write as _;
use std::process::ExitCode;

use chat_proto::display;
use chat_server::admin::user::{Row, UserList};
use chat_server::config::Config;
use serde::Serialize;

use super::{List, ask, local, rfc3339, say};
use crate::args::{Args, UserVerb};

/// Does one of them.
pub fn act(args: &Args, config: &Config, verb: &UserVerb) -> anyhow::Result<ExitCode> {
    match verb {
        UserVerb::List => list(args, config),
    }
}

fn list(args: &Args, config: &Config) -> anyhow::Result<ExitCode> {
    let rows = ask(config, UserList {})?;
    say(&if args.json { json(&rows)? } else { table(&rows) })
}

fn table(rows: &[Row]) -> String {
    let mut out = format!("{:<20} {:<17} {:>7} {:>7}", "NAME", "LAST SEEN", "DEVICES", "QUEUED");
    for row in rows {
        let seen = match (row.online, row.last_seen_ms) {
            (true, _) => "online".to_owned(),
            (false, Some(ms)) => local(ms),
            (false, None) => "never".to_owned(),
        };
        // Writing to a string does not fail.
        let _ = write!(out, "\n{:<20} {seen:<17} {:>7} {:>7}", display::name(&row.name), row.devices, row.queued);
    }
    out
}

fn json(rows: &[Row]) -> serde_json::Result<String> {
    serde_json::to_string(&List::of("users", rows.iter().map(Item::from)))
}

/// An account as it is printed, in this order.
#[derive(Serialize)]
pub(super) struct Item<'a> {
    name: &'a str,
    since: String,
    devices: u32,
    queued: u64,
    online: bool,
    last_seen: Option<String>,
}

impl<'a> From<&'a Row> for Item<'a> {
    fn from(row: &'a Row) -> Item<'a> {
        Item {
            name: &row.name,
            since: rfc3339(row.since_ms),
            devices: row.devices,
            queued: row.queued,
            online: row.online,
            last_seen: row.last_seen_ms.map(rfc3339),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339_in_utc() {
        let row = Row {
            name: "alice".into(),
            since_ms: 1_000,
            devices: 1,
            queued: 2,
            online: false,
            last_seen_ms: Some(1_795_417_331_120),
        };
        let text = json(&[row]).unwrap();
        assert_eq!(
            text,
            "{\"v\":1,\"type\":\"users\",\"items\":[{\"name\":\"alice\",\"since\":\"1970-01-01T00:00:01.000Z\",\"devices\":1,\
             \"queued\":2,\"online\":false,\"last_seen\":\"2026-11-23T07:02:11.120Z\"}]}"
        );
    }
}
