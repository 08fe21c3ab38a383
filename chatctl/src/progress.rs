//! How far something is that takes its time: bars on a terminal, else a line now and then; on stderr, and nothing where nobody wants
//! to read it. `file` shows its transfers through it.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

use crate::output::{Form, Output};

/// Off a terminal a line is printed so often.
const EVERY: Duration = Duration::from_secs(10);
/// A bar and what is said beside it; ASCII as all fixed texts.
const BAR: &str = "[{bar:24}] {wide_msg}";

/// Several things under way, each by its id.
pub struct Progress {
    kind: Kind,
    out: Output,
}

enum Kind {
    Bars { all: MultiProgress, style: ProgressStyle, bars: BTreeMap<String, ProgressBar> },
    Lines { next: Instant },
    Nothing,
}

impl Progress {
    /// What the circumstances ask for.
    pub fn new(out: &Output) -> Progress {
        let accessible = std::env::var_os("CHAT_ACCESSIBLE").is_some_and(|value| value == "1");
        let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        let style = ProgressStyle::with_template(BAR).map(|style| style.progress_chars("=> "));
        let kind = match style {
            _ if out.quiet || out.form != Form::Human => Kind::Nothing,
            Ok(style) if std::io::stderr().is_terminal() && !accessible && !dumb => {
                let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
                Kind::Bars { all, style, bars: BTreeMap::new() }
            }
            _ => Kind::Lines { next: Instant::now() + EVERY },
        };
        Progress { kind, out: out.clone() }
    }

    /// When [`Progress::tick`] is due.
    pub fn due(&self) -> Option<Instant> {
        match &self.kind {
            Kind::Lines { next } => Some(*next),
            Kind::Bars { .. } | Kind::Nothing => None,
        }
    }

    /// It is time for a line about each.
    pub fn tick(&mut self, lines: impl IntoIterator<Item = String>) {
        if let Kind::Lines { next } = &mut self.kind {
            *next = Instant::now() + EVERY;
            lines.into_iter().for_each(|line| self.out.note(&line));
        }
    }

    /// One is so far; `words` says the same.
    pub fn set(&mut self, id: &str, done: u64, size: u64, words: String) {
        if let Kind::Bars { all, style, bars } = &mut self.kind {
            let bar = bars.entry(id.to_owned()).or_insert_with(|| {
                let bar = all.add(ProgressBar::new(size));
                bar.set_style(style.clone());
                bar
            });
            bar.set_position(done);
            bar.set_message(words);
        }
    }

    /// One is over: its bar goes, the result is said elsewhere.
    pub fn over(&mut self, id: &str) {
        if let Kind::Bars { bars, .. } = &mut self.kind
            && let Some(bar) = bars.remove(id)
        {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Clock;

    fn output(form: Form, quiet: bool) -> Output {
        let clock = Clock::utc();
        Output { form, quiet, verbose: false, color: false, clock, chatctl: "chatctl".to_owned() }
    }

    /// What a person sees who has no terminal, as in a test; the first line is due at once.
    fn lines(out: &Output) -> Progress {
        Progress { kind: Kind::Lines { next: Instant::now() }, out: out.clone() }
    }

    #[test]
    fn programs_and_the_quiet_see_nothing() {
        for out in [output(Form::Json, false), output(Form::Plain, false), output(Form::Human, true)] {
            assert!(matches!(Progress::new(&out).kind, Kind::Nothing));
        }
    }

    #[test]
    fn a_line_is_due_now_and_then() {
        let mut progress = lines(&output(Form::Human, false));
        let first = progress.due().expect("lines have a time");
        progress.set("1", 1, 2, "half".to_owned());
        progress.tick(["half".to_owned()]);
        assert!(progress.due().expect("another") > first);
    }

    #[test]
    fn the_bars_template_is_sound() {
        assert!(ProgressStyle::with_template(BAR).is_ok());
    }
}
