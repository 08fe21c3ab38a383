//! The host's clock: plausible, and kept right by somebody.

use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use super::{Found, Level, Section};
use crate::backup;
use crate::certificate::now_ms;
use crate::store::sqlite;

/// No chat-server of this version ran before: January 2026.
const LONG_AGO: Duration = Duration::from_secs(1_767_225_600);
/// Files of the future are no more than this ahead: clocks of other hosts may have written them.
const AHEAD: Duration = Duration::from_secs(300);
/// Where systemd's time service says how it is.
const TIMESYNC: &str = "/run/systemd/timesync";

pub(super) fn look(found: &mut Found<'_>) {
    let now = found.looked.now;
    if now < UNIX_EPOCH + LONG_AGO {
        return wrong(found, "the clock shows a time before this program was made".into());
    }
    let database = sqlite::file(&found.config.data);
    let written = std::fs::metadata(database).and_then(|file| file.modified()).ok();
    let backed_up = backup::newest_ms(&found.config.backups);
    if written.is_some_and(|at| at > now + AHEAD) || backed_up.is_some_and(|at| at > now_ms(now + AHEAD)) {
        return wrong(found, "the clock went back: the database or a backup was written in its future".into());
    }
    if Path::new(TIMESYNC).exists() && !Path::new(TIMESYNC).join("synchronized").exists() {
        let next = Some("timedatectl set-ntp true".to_owned());
        found.add(Level::Warn, Section::Time, None, "the clock is not synchronized".into(), next);
    }
}

fn wrong(found: &mut Found<'_>, text: String) {
    found.add(Level::Error, Section::Time, None, text, Some("timedatectl status".into()));
}
