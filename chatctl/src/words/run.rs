//! The message of `run`: the one text that chatctl writes in the user's name.

use std::time::Duration;

use chat_proto::control::hooks::Outcome;

use super::hooks::outcome as how;
use crate::output::Shown;
use crate::time::exact;

/// Columns of the command's name.
const NAME: usize = 200;

/// The first line: what ran, how it ended, how long it took.
pub fn headline(name: &str, outcome: &Outcome, took: Duration) -> String {
    let (name, took) = (Shown::preview(name, NAME), exact(took));
    match outcome {
        Outcome::Exited { code: 0 } => format!("{name} done after {took}"),
        Outcome::NotStarted { .. } => format!("{name} {}", how(outcome)),
        failed => format!("{name} failed ({}) after {took}", how(failed)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_of_the_manual() {
        let failed = Outcome::Exited { code: 3 };
        assert_eq!(headline("backup.sh", &failed, Duration::from_secs(250)), "backup.sh failed (exit 3) after 4m10s");
        assert_eq!(headline("make", &Outcome::Exited { code: 0 }, Duration::from_millis(1230)), "make done after 1.2s");
        let killed = Outcome::Killed { signal: 9 };
        assert_eq!(headline("x", &killed, Duration::ZERO), "x failed (killed by signal 9) after 0ms");
    }
}
