//! `user list`: all accounts, from the running server or from the store of a stopped one.

use std::io;

use anyhow::{Context as _, bail};
use chat_proto::display;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::socket::{self, Reply, Request};
use crate::config::Config;
use crate::store::User;

/// An account for people and scripts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Name.
    pub name: String,
    /// When it was made, milliseconds since 1970.
    pub since_ms: i64,
    /// Enrolled devices.
    pub devices: u32,
    /// Messages that wait for it.
    pub queued: u64,
    /// Announced online now.
    pub online: bool,
    /// When its last session ended; nothing when it is online or never had one.
    pub last_seen_ms: Option<i64>,
}

impl From<User> for Row {
    fn from(user: User) -> Row {
        Row {
            name: user.name.into(),
            since_ms: user.since_ms,
            devices: user.devices,
            queued: user.waiting,
            online: user.online,
            last_seen_ms: (user.last_seen_ms > 0).then_some(user.last_seen_ms),
        }
    }
}

/// A time that no clock shows becomes the first one.
fn time(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// All accounts.
pub async fn list(config: &Config) -> anyhow::Result<Vec<Row>> {
    let asked = socket::ask(&config.admin_socket, Request::UserList).await;
    match asked.with_context(|| config.admin_socket.display().to_string())? {
        Some(Reply::Users(rows)) => Ok(rows),
        Some(Reply::Error(text)) => bail!("the running server refused: {}", display::line(&text)),
        None => Ok(crate::offline_users(config).await?.into_iter().map(Row::from).collect()),
    }
}

/// Prints a table.
pub fn print(rows: &[Row], out: &mut impl io::Write) -> io::Result<()> {
    writeln!(out, "{:<20} {:<17} {:>7} {:>7}", "NAME", "LAST SEEN", "DEVICES", "QUEUED")?;
    for row in rows {
        let seen = match (row.online, row.last_seen_ms) {
            (true, _) => "online".to_owned(),
            (false, Some(ms)) => time(ms).to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M").to_string(),
            (false, None) => "never".to_owned(),
        };
        writeln!(out, "{:<20} {seen:<17} {:>7} {:>7}", display::name(&row.name), row.devices, row.queued)?;
    }
    Ok(())
}

/// The same for scripts: times in RFC 3339, UTC, milliseconds.
pub fn json(rows: &[Row]) -> serde_json::Result<String> {
    let text = |ms| format!("{:.3}", time(ms));
    let items = rows.iter().map(|row| Item {
        name: &row.name,
        since: text(row.since_ms),
        devices: row.devices,
        queued: row.queued,
        online: row.online,
        last_seen: row.last_seen_ms.map(text),
    });
    serde_json::to_string(&Users { v: 1, r#type: "users", items: items.collect() })
}

/// The list as it is printed, in this order.
#[derive(Serialize)]
struct Users<'a> {
    v: u32,
    r#type: &'static str,
    items: Vec<Item<'a>>,
}

#[derive(Serialize)]
struct Item<'a> {
    name: &'a str,
    since: String,
    devices: u32,
    queued: u64,
    online: bool,
    last_seen: Option<String>,
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
