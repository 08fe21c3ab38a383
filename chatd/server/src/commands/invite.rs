//! `invite`: who may make an account where not everybody may.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use chat_proto::display::{self, quoted};
use chat_server::admin::invite::{InviteCreate, InviteList, InviteRevoke, Made, Row};
use chat_server::config::Config;
use chat_server::config::values::Wait;
use serde::Serialize;

use super::{ask, complain, local, rfc3339, say};
use crate::args::{Args, InviteCreate as Wanted, InviteVerb};

/// Does one of them.
pub fn act(args: &Args, config: &Config, verb: &InviteVerb) -> anyhow::Result<ExitCode> {
    match verb {
        InviteVerb::Create(wanted) => create(args, config, wanted),
        InviteVerb::List => list(args, config),
        InviteVerb::Revoke { id } => revoke(args, config, id),
    }
}

/// How long an invitation holds when nothing else is said.
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

/// An invitation for one account, as `user add` makes it.
pub fn for_one(args: &Args, config: &Config, name: &str) -> anyhow::Result<ExitCode> {
    create(args, config, &Wanted { name: Some(name.to_owned()), uses: 1, expires: Wait(WEEK) })
}

fn create(args: &Args, config: &Config, wanted: &Wanted) -> anyhow::Result<ExitCode> {
    let lasts_ms = u64::try_from(wanted.expires.0.as_millis()).unwrap_or(u64::MAX);
    let call = InviteCreate { name: wanted.name.clone(), uses: wanted.uses, lasts_ms };
    let made = ask(config, call.clone())?;
    if args.json {
        return say(&made_json(&made, &call)?);
    }
    // The code alone on stdout, for scripts; what it is on stderr.
    complain(&made_words(&made, &call, &config.name));
    say(&made.code.0)
}

fn made_words(made: &Made, call: &InviteCreate, server: &str) -> String {
    let accounts = match (&call.name, call.uses) {
        (Some(name), _) => format!("for the account {}", display::name(name)),
        (None, 1) => "for one account".to_owned(),
        (None, uses) => format!("for {uses} accounts"),
    };
    let name = call.name.as_deref().unwrap_or("NAME");
    format!(
        "Invitation {} {accounts}, good for {}; its code is shown this once. Redeem it with:\n  \
         chatctl register {} --server {} --invite-file FILE",
        made.id,
        time_left(call.lasts_ms),
        quoted(name),
        quoted(server)
    )
}

fn made_json(made: &Made, call: &InviteCreate) -> serde_json::Result<String> {
    #[derive(Serialize)]
    struct Shown<'a> {
        v: u32,
        r#type: &'static str,
        id: String,
        code: &'a str,
        user: Option<&'a str>,
        uses: u32,
        left_ms: u64,
    }
    serde_json::to_string(&Shown {
        v: 1,
        r#type: "invite",
        id: made.id.to_string(),
        code: &made.code.0,
        user: call.name.as_deref(),
        uses: call.uses,
        left_ms: call.lasts_ms,
    })
}

fn list(args: &Args, config: &Config) -> anyhow::Result<ExitCode> {
    let rows = ask(config, InviteList {})?;
    say(&if args.json { json(&rows)? } else { table(&rows) })
}

fn table(rows: &[Row]) -> String {
    let mut out = format!("{:>4}  {:<16}  {:>11}  {:>9}  FOR", "ID", "MADE", "USED", "TIME LEFT");
    for row in rows {
        let (made, left) = (local(row.since_ms), time_left(row.left_ms));
        let used = format!("{} of {}", row.used, row.uses);
        let user = row.name.as_deref().map_or("anybody".into(), display::name);
        // Writing to a string does not fail.
        let _ = write!(out, "\n{:>4}  {made:<16}  {used:>11}  {left:>9}  {user}", row.id);
    }
    out
}

/// The largest unit and the next: `6d 23h`.
fn time_left(ms: u64) -> String {
    let seconds = ms.div_ceil(1000);
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    let units = [(days, "d"), (hours, "h"), (minutes, "m"), (seconds % 60, "s")];
    let shown = units.iter().skip_while(|(count, _)| *count == 0).take(2).filter(|(count, _)| *count > 0);
    shown.map(|(count, unit)| format!("{count}{unit}")).collect::<Vec<_>>().join(" ")
}

fn json(rows: &[Row]) -> serde_json::Result<String> {
    #[derive(Serialize)]
    struct Shown<'a> {
        v: u32,
        r#type: &'static str,
        items: Vec<Item<'a>>,
    }
    serde_json::to_string(&Shown { v: 1, r#type: "invites", items: rows.iter().map(Item::from).collect() })
}

/// An invitation as it is printed.
#[derive(Serialize)]
struct Item<'a> {
    id: String,
    user: Option<&'a str>,
    since: String,
    uses: u32,
    used: u32,
    left_ms: u64,
}

impl<'a> From<&'a Row> for Item<'a> {
    fn from(row: &'a Row) -> Item<'a> {
        Item {
            id: row.id.to_string(),
            user: row.name.as_deref(),
            since: rfc3339(row.since_ms),
            uses: row.uses,
            used: row.used,
            left_ms: row.left_ms,
        }
    }
}

fn revoke(args: &Args, config: &Config, id: &str) -> anyhow::Result<ExitCode> {
    ask(config, InviteRevoke { id: id.to_owned() })?;
    if args.json {
        return say(&format!(r#"{{"v":1,"type":"invite","id":{},"revoked":true}}"#, serde_json::to_string(id)?));
    }
    say(&format!("Invitation {} is withdrawn.", display::line(id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_has_two_units() {
        assert_eq!(time_left(7 * 86_400_000), "7d");
        assert_eq!(time_left(7 * 86_400_000 - 1_000), "6d 23h");
        assert_eq!(time_left(3_601_000), "1h");
        assert_eq!(time_left(60_001), "1m 1s");
        assert_eq!(time_left(1), "1s");
    }

    #[test]
    fn the_list_is_aligned_and_safe() {
        let row = Row { id: 3, name: Some("b\u{1b}b".into()), since_ms: 0, uses: 20, used: 4, left_ms: 60_000 };
        let table = table(&[row]);
        assert!(!table.contains('\u{1b}'), "{table}");
        assert!(table.lines().nth(1).unwrap().contains("4 of 20"), "{table}");
    }
}
