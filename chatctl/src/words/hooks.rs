//! Sentences about hooks and about programs that were run.

use std::time::Duration;

use chat_proto::control::hooks::{Hook, Letter, Outcome, Ran};
use chat_proto::display::quoted;

use crate::output::Shown;
use crate::time::{Clock, exact};

/// No hook is configured.
pub const NONE: &str = "no hooks; they stand in the configuration: chatctl help hooks";
/// The configuration is newer than what chatd knows.
pub const CONFIG_CHANGED: &str =
    "chatctl: note: the configuration was changed since chatd read it.  next: chatctl daemon restart";
/// No dead letters.
pub const NO_LETTERS: &str = "no dead letters";

/// How a run ended, for the middle of a sentence.
pub fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Exited { code } => format!("exit {code}"),
        Outcome::Killed { signal } => format!("killed by signal {signal}"),
        Outcome::TimedOut => "ran too long and was ended".to_owned(),
        Outcome::NotStarted { detail } => format!("could not be started: {}", Shown::line(detail)),
    }
}

/// The words of a command line, as a shell takes them.
fn typed(words: &[String]) -> String {
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

/// The lines of one hook in `hooks list`.
pub fn hook(hook: &Hook, clock: &Clock) -> String {
    let mut text = format!("{}  on {}", Shown::line(&hook.name), hook.on.word());
    if !hook.from.is_empty() {
        let from: Vec<_> = hook.from.iter().map(|name| Shown::name(name).to_string()).collect();
        text += &format!(" from {}", from.join(", "));
    }
    text += &format!(": {}", typed(&hook.run));
    text += &format!("\n  {}", runs(hook, clock));
    for (count, what) in [
        (hook.waiting, "waiting"),
        (hook.retrying, "failed and tried again"),
        (hook.missed, "left out because too many waited"),
    ] {
        if count > 0 {
            text += &format!("; {count} {what}");
        }
    }
    if hook.dead > 0 {
        text += &format!("; {} given up: chatctl hooks letters", hook.dead);
    }
    text
}

fn runs(hook: &Hook, clock: &Clock) -> String {
    let mut text = match hook.runs {
        0 => "never ran".to_owned(),
        1 => "1 run".to_owned(),
        runs => format!("{runs} runs"),
    };
    if hook.failures > 0 {
        text += &format!(", {} failed", hook.failures);
    }
    if let Some(at) = hook.last_at_ms {
        text += &format!(", last {}", clock.show(at));
    }
    if let Some(error) = &hook.last_error {
        text += &format!(" ({})", outcome(error));
    }
    if hook.running {
        text += "; running now";
    }
    text
}

/// The line of a test run; its output follows.
pub fn ran(ran: &Ran) -> String {
    let took = exact(Duration::from_millis(ran.duration_ms));
    let name = Shown::line(&ran.name);
    match &ran.outcome {
        Outcome::Exited { code: 0 } => format!("{name}: done in {took} (exit 0)"),
        failed => format!("{name}: failed after {took} ({})", outcome(failed)),
    }
}

/// A line of `hooks letters`.
pub fn letter(letter: &Letter, clock: &Clock) -> String {
    let mut text = format!("{}  {}  {}", letter.id, clock.show(letter.at_ms), Shown::line(&letter.hook));
    if let Some(id) = &letter.message {
        text += &format!("  message {}", Shown::line(id));
    }
    if let Some(from) = letter.from.as_ref().filter(|from| !from.is_empty()) {
        text += &format!("  from {}", Shown::name(from));
    }
    let tries = if letter.tries == 1 { "1 try".to_owned() } else { format!("{} tries", letter.tries) };
    format!("{text}  {tries}, {}", outcome(&letter.outcome))
}

fn letters(count: u64) -> String {
    if count == 1 { "1 dead letter".to_owned() } else { format!("{count} dead letters") }
}

/// After `hooks replay`.
pub fn replayed(count: u64) -> String {
    format!("{} tried again now: chatctl hooks list", letters(count))
}

/// After `hooks drop`.
pub fn dropped(count: u64) -> String {
    format!("{} dropped.", letters(count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Style;
    use chat_proto::control::hooks::Occasion;

    #[test]
    fn a_hook_says_how_it_does() {
        let clock = Clock {
            now: jiff::Timestamp::UNIX_EPOCH,
            zone: jiff::tz::TimeZone::UTC,
            twelve: false,
            style: Style::Auto,
        };
        let mut one = Hook {
            name: "message:page".into(),
            on: Occasion::Message,
            from: vec!["ci".into()],
            run: vec!["/usr/local/bin/page".into(), "on call".into()],
            timeout_ms: 10_000,
            retries: 4,
            runs: 0,
            failures: 0,
            last_at_ms: None,
            last_error: None,
            running: false,
            waiting: 0,
            retrying: 0,
            dead: 0,
            missed: 0,
        };
        let typed = format!("/usr/local/bin/page {}", quoted("on call"));
        assert_eq!(hook(&one, &clock), format!("message:page  on message from ci: {typed}\n  never ran"));
        (one.runs, one.failures, one.last_at_ms) = (12, 2, Some(0));
        (one.last_error, one.dead) = (Some(Outcome::Exited { code: 3 }), 1);
        let text = hook(&one, &clock);
        assert!(text.ends_with("12 runs, 2 failed, last 00:00 (exit 3); 1 given up: chatctl hooks letters"), "{text}");
    }

    #[test]
    fn what_the_system_said_is_safe() {
        let detail = "no \x1b[2J".to_owned();
        assert_eq!(outcome(&Outcome::NotStarted { detail }), r"could not be started: no \x1b[2J");
    }
}
