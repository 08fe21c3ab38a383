//! What `doctor` looks at, in the order in which a call passes it: the program and its files, chatd, the account, the way to the
//! server, and what makes it comfortable. Looks only; whatever is wrong has one command that mends it.
//!
//! Called by the command. What is on this host is looked at here ([`host`]), the way to the server by chatd ([`way`]); the
//! sentences are in `words`.

pub mod bundle;
mod daemon;
mod host;
mod masks;
mod way;

pub use daemon::Known;

use crate::commands::Context;
use crate::json::{Json, members};
use crate::output::End;

/// How a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It works, and not as well as it could.
    Warn,
    /// It does not work.
    Fail,
}

impl Verdict {
    /// As it is printed, in every form.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Ok => "ok",
            Verdict::Warn => "WARN",
            Verdict::Fail => "FAIL",
        }
    }
}

/// What is looked at, by name.
pub const CHECKS: &[&str] = &[
    "directories",
    "credentials",
    "socket",
    "environment",
    "disk",
    "open files",
    "config",
    "daemon",
    "sandbox",
    "versions",
    "login",
    "files",
    "dns",
    "server",
    "tls",
    "clock",
    "nat",
    "linger",
    "completions",
];

/// Something that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What: one of [`CHECKS`].
    pub check: &'static str,
    /// How it is.
    pub verdict: Verdict,
    /// What there is to say, safe to print.
    pub detail: String,
    /// The command that mends it, whole.
    pub hint: Option<String>,
}

impl Finding {
    /// All is well.
    pub fn ok(check: &'static str, detail: impl Into<String>) -> Finding {
        Finding { check, verdict: Verdict::Ok, detail: detail.into(), hint: None }
    }

    /// It could be better.
    pub fn warn<D: Into<String>, H: Into<String>>(check: &'static str, detail: D, hint: H) -> Finding {
        Finding { check, verdict: Verdict::Warn, detail: detail.into(), hint: Some(hint.into()) }
    }

    /// It does not work.
    pub fn fail<D: Into<String>, H: Into<String>>(check: &'static str, detail: D, hint: H) -> Finding {
        Finding { check, verdict: Verdict::Fail, detail: detail.into(), hint: Some(hint.into()) }
    }

    /// The finding as an object.
    pub fn json(&self) -> Json {
        members!({ "check": self.check, "result": self.verdict.word(), "detail": self.detail, "hint": self.hint })
    }
}

/// Everything that was found.
pub async fn examine(ctx: &mut Context) -> Result<Vec<Finding>, End> {
    let places = ctx.places()?;
    let mut found = host::files(&places, &ctx.out.chatctl);
    let mut chatd = daemon::look(ctx, &places, &mut found).await;
    if let Some(chatd) = &mut chatd {
        let profiles = daemon::profiles(ctx, chatd, &mut found).await;
        way::look(ctx, chatd, &profiles, &mut found).await;
    } else {
        found.push(crate::words::doctor::way_not_looked_at(&ctx.out.chatctl));
    }
    found.extend(host::comfort(&places));
    Ok(found)
}
