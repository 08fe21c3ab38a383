//! `user`: accounts.

use std::fmt::Write as _;
use std::process::ExitCode;

use chat_proto::display;
use chat_server::admin::Talk;
use chat_server::admin::user::{
    Account, Changed, Device, Page, Row, UserAdd, UserDel, UserList, UserLock, UserPasswd, UserShow, UserUnlock,
};
use chat_server::advice::Trouble;
use chat_server::config::Config;
use serde::Serialize;

use super::{List, ask, invite, local, prompt, rfc3339, run, say, say_json, span};
use crate::args::{Args, UserVerb};

/// Does one of them.
pub fn act(args: &Args, config: &Config, verb: &UserVerb) -> anyhow::Result<ExitCode> {
    match verb {
        UserVerb::List => list(args, config),
        UserVerb::Show { name } => show(args, config, name),
        UserVerb::Add { name, password_stdin: true, .. } => add(args, config, name),
        UserVerb::Add { name, .. } => invite::for_one(args, config, name),
        UserVerb::Del { name, yes_delete } => delete(args, config, name, yes_delete.as_deref()),
        UserVerb::Passwd { name, password_stdin, revoke_devices } => {
            passwd(args, config, name, *password_stdin, *revoke_devices)
        }
        UserVerb::Lock { name } => lock(args, config, name),
        UserVerb::Unlock { name, source } => {
            let changed = ask(config, UserUnlock { name: name.clone(), source: *source })?;
            unlocked(args, name, source.is_some(), changed)
        }
    }
}

fn list(args: &Args, config: &Config) -> anyhow::Result<ExitCode> {
    let rows = run(async {
        let mut talk = Talk::open(config, false).await?;
        let rows = all(&mut talk, false).await;
        talk.close().await;
        rows
    })?;
    say(&if args.json { json(&rows)? } else { table(&rows) })
}

/// All accounts, page by page.
pub async fn all(talk: &mut Talk, hashes: bool) -> anyhow::Result<Vec<Row>> {
    let mut rows: Vec<Row> = Vec::new();
    loop {
        let after = rows.last().map(|row| row.name.clone()).unwrap_or_default();
        let Page { rows: page, more } = talk.ask(UserList { after, hashes }).await?;
        rows.extend(page);
        if !more {
            return Ok(rows);
        }
    }
}

fn table(rows: &[Row]) -> String {
    let mut out = format!("{:<20} {:<17} {:>7} {:>7}", "NAME", "LAST SEEN", "DEVICES", "QUEUED");
    for row in rows {
        let (name, locked) = (display::name(&row.name), if row.locked { "  locked" } else { "" });
        // Writing to a string does not fail.
        let _ = write!(out, "\n{name:<20} {:<17} {:>7} {:>7}{locked}", seen(row), row.devices, row.queued);
    }
    out
}

fn seen(row: &Row) -> String {
    match (row.online, row.last_seen_ms) {
        (true, _) => "online".to_owned(),
        (false, Some(ms)) => local(ms),
        (false, None) => "never".to_owned(),
    }
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
    locked: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    hash: Option<&'a str>,
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
            locked: row.locked,
            hash: row.hash.as_deref(),
        }
    }
}

fn show(args: &Args, config: &Config, name: &str) -> anyhow::Result<ExitCode> {
    let account = ask(config, UserShow { name: name.to_owned() })?;
    if args.json {
        return say_json(&Shown::from(&account));
    }
    say(&card(&account))
}

fn card(account: &Account) -> String {
    let Account { row, devices, password_locks, password_locks_left_ms } = account;
    let locked = if row.locked { "yes, by the operator" } else { "no" };
    let passwords = match password_locks {
        0 => "no lock".to_owned(),
        1 => format!("locked from 1 source for {}", span(*password_locks_left_ms)),
        many => format!("locked from {many} sources for up to {}", span(*password_locks_left_ms)),
    };
    let mut out = display::name(&row.name).into_owned();
    for (what, value) in [
        ("since", local(row.since_ms)),
        ("last seen", seen(row)),
        ("queued", row.queued.to_string()),
        ("locked", locked.to_owned()),
        ("wrong passwords", passwords),
        ("devices", row.devices.to_string()),
    ] {
        let _ = write!(out, "\n  {what:<16} {value}");
    }
    for device in devices {
        let name = display::line(&device.name);
        let seen = device.last_seen_ms.map_or_else(|| "never".to_owned(), local);
        let _ = write!(out, "\n    {name:<20} last seen {seen}");
    }
    out
}

/// An account with its devices, as it is printed, in this order.
#[derive(Serialize)]
struct Shown<'a> {
    v: u32,
    r#type: &'static str,
    user: Item<'a>,
    password_locks: usize,
    password_locks_left_ms: u64,
    items: Vec<ShownDevice<'a>>,
}

#[derive(Serialize)]
struct ShownDevice<'a> {
    id: &'a str,
    name: &'a str,
    since: Option<String>,
    last_seen: Option<String>,
}

impl<'a> From<&'a Account> for Shown<'a> {
    fn from(account: &'a Account) -> Shown<'a> {
        let device = |device: &'a Device| ShownDevice {
            id: &device.id,
            name: &device.name,
            since: device.since_ms.map(rfc3339),
            last_seen: device.last_seen_ms.map(rfc3339),
        };
        Shown {
            v: 1,
            r#type: "account",
            user: Item::from(&account.row),
            password_locks: account.password_locks,
            password_locks_left_ms: account.password_locks_left_ms,
            items: account.devices.iter().map(device).collect(),
        }
    }
}

/// What was done to an account.
#[derive(Serialize)]
struct Done<'a, T> {
    v: u32,
    r#type: &'static str,
    user: &'a str,
    #[serde(flatten)]
    content: T,
}

impl<'a, T> Done<'a, T> {
    fn of(r#type: &'static str, user: &'a str, content: T) -> Done<'a, T> {
        Done { v: 1, r#type, user, content }
    }
}

fn add(args: &Args, config: &Config, name: &str) -> anyhow::Result<ExitCode> {
    let password = prompt::new_password(true)?;
    let made = ask(config, UserAdd { name: name.to_owned(), password })?;
    if args.json {
        return say_json(&Done::of("added", &made.name, Nothing {}));
    }
    let (name, server) = (display::name(&made.name), &config.name);
    say(&format!("Added {name}; he logs in with: chatctl login {name} --server {server}"))
}

#[derive(Serialize)]
struct Nothing {}

fn delete(args: &Args, config: &Config, name: &str, again: Option<&str>) -> anyhow::Result<ExitCode> {
    let shown = display::name(name);
    let again = match again {
        Some(again) => again.to_owned(),
        None => {
            let question = format!(
                "This deletes {shown} for ever, with all that waits for it; the name is never given again.\n\
                 Type the name once more: "
            );
            prompt::line(&question, "the name once more", &format!("--yes-delete {shown}"))?
        }
    };
    if again != name {
        return Err(Trouble::new(1, "names_differ", "the two names differ; nothing was deleted").into());
    }
    let deleted = ask(config, UserDel { name: name.to_owned() })?;
    if args.json {
        return say_json(&Done::of("deleted", name, deleted));
    }
    let mut text = match deleted.devices {
        0 => format!("Deleted {shown}."),
        devices => format!("Deleted {shown}, with {}.", count(devices, "device")),
    };
    if deleted.expired > 0 {
        let _ = write!(text, " {} to {shown} expired; the senders are told.", count(deleted.expired, "message"));
    }
    say(&text)
}

fn count(number: u32, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn passwd(args: &Args, config: &Config, name: &str, stdin: bool, revoke_devices: bool) -> anyhow::Result<ExitCode> {
    let password = prompt::new_password(stdin)?;
    let revoked = ask(config, UserPasswd { name: name.to_owned(), password, revoke_devices })?;
    if args.json {
        return say_json(&Done::of("password", name, revoked));
    }
    let shown = display::name(name);
    say(&match (revoke_devices, revoked.revoked) {
        (false, _) => {
            format!("Changed the password of {shown}; devices that are logged in stay so (--revoke-devices).")
        }
        (true, revoked) => format!("Changed the password of {shown}; {} logged out.", count(revoked, "device")),
    })
}

fn lock(args: &Args, config: &Config, name: &str) -> anyhow::Result<ExitCode> {
    let Changed { changed, .. } = ask(config, UserLock { name: name.to_owned() })?;
    if args.json {
        return say_json(&Done::of("lock", name, Was { changed }));
    }
    let was = if changed { "is" } else { "was already" };
    say(&format!("{} {was} locked: nobody can log in to it.", display::name(name)))
}

#[derive(Serialize)]
struct Was {
    changed: bool,
}

fn unlocked(args: &Args, name: &str, source_alone: bool, done: Changed) -> anyhow::Result<ExitCode> {
    let Changed { changed, lifted } = done;
    if args.json {
        return say_json(&Done::of("unlock", name, Unlocked { changed, lifted }));
    }
    let shown = display::name(name);
    let passwords = match lifted {
        0 => "no wrong passwords locked it".to_owned(),
        1 => "1 lock by wrong passwords was lifted".to_owned(),
        many => format!("{many} locks by wrong passwords were lifted"),
    };
    say(&match (source_alone, changed) {
        (true, _) => format!("{shown}: {passwords} from there."),
        (false, true) => format!("{shown} is unlocked; {passwords}."),
        (false, false) => format!("{shown} was not locked by the operator; {passwords}."),
    })
}

#[derive(Serialize)]
struct Unlocked {
    changed: bool,
    lifted: usize,
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
            locked: false,
            hash: None,
        };
        let text = json(&[row]).unwrap();
        assert_eq!(
            text,
            "{\"v\":1,\"type\":\"users\",\"items\":[{\"name\":\"alice\",\"since\":\"1970-01-01T00:00:01.000Z\",\"devices\":1,\
             \"queued\":2,\"online\":false,\"last_seen\":\"2026-11-23T07:02:11.120Z\",\"locked\":false}]}"
        );
    }
}
