//! Questions that wait for y or n while the person goes on: only y or n settles the one that was asked first; any other line is an
//! ordinary command, and the question stays open. Pure; the login and the session of the shell ask through it.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// Who answers later than this has read the question that took the place of another one.
const READING: Duration = Duration::from_secs(1);

/// Open questions, oldest first. `T` says what is to be decided.
#[derive(Debug)]
pub struct Questions<T> {
    open: VecDeque<(T, String)>,
    /// When the first question went without an answer.
    turned: Option<Instant>,
}

impl<T> Default for Questions<T> {
    fn default() -> Self {
        Questions { open: VecDeque::new(), turned: None }
    }
}

impl<T: PartialEq> Questions<T> {
    /// Opens a question; one that is open already is not asked twice: then false.
    pub fn ask(&mut self, about: T, text: String) -> bool {
        let new = self.open.iter().all(|(open, _)| *open != about);
        if new {
            self.open.push_back((about, text));
        }
        new
    }

    /// Opens a question that goes before all others: it belongs to the line that was just typed.
    pub fn ask_first(&mut self, about: T, text: String) {
        self.answered(|open| *open == about);
        self.open.push_front((about, text));
    }

    /// A line answered them by what they are about.
    pub fn answered(&mut self, which: impl Fn(&T) -> bool) {
        self.open.retain(|(about, _)| !which(about));
    }

    /// Questions that need no answer any more are gone; was there one?
    pub fn withdraw(&mut self, now: Instant, moot: impl Fn(&T) -> bool) -> bool {
        let before = self.open.len();
        if self.first().is_some_and(&moot) {
            self.turned = Some(now);
        }
        self.open.retain(|(about, _)| !moot(about));
        self.open.len() < before
    }

    /// What y or n would settle now.
    pub fn first(&self) -> Option<&T> {
        self.open.front().map(|(about, _)| about)
    }

    /// The words of the question that y or n would settle now: they stand in place of the prompt.
    pub fn prompt(&self) -> Option<&str> {
        self.open.front().map(|(_, text)| text.as_str())
    }

    /// Is it a y or n that was on its way when the question it was meant for went, and another one took its place? It settles nothing:
    /// consent is given to whom one has read of.
    pub fn is_unread(&self, now: Instant, line: &str) -> bool {
        let turned = self.turned.is_some_and(|turned| now.duration_since(turned) < READING);
        turned && !self.open.is_empty() && answer(line).is_some()
    }

    /// Settles the oldest question, if there is one and the line is y or n; nothing means that the line is an ordinary command.
    pub fn settle(&mut self, line: &str) -> Option<(T, bool)> {
        let yes = answer(line)?;
        self.open.pop_front().map(|(about, _)| (about, yes))
    }
}

fn answer(line: &str) -> Option<bool> {
    match line.trim_matches([' ', '\t']) {
        "y" | "Y" => Some(true),
        "n" | "N" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open() -> Questions<&'static str> {
        let mut questions = Questions::default();
        questions.ask("hans", "hans would like to private message, enter y or n: ".to_owned());
        questions
    }

    #[test]
    fn one_y_or_n_settles() {
        for (line, yes) in [("y", true), ("n", false), (" Y ", true), ("N", false)] {
            let mut questions = open();
            assert_eq!(questions.settle(line), Some(("hans", yes)), "{line:?}");
            assert_eq!(questions.prompt(), None);
            assert_eq!(questions.settle(line), None, "a settled question is not settled again");
        }
    }

    #[test]
    fn anything_else_is_a_command_and_the_question_stays_open() {
        let mut questions = open();
        for line in ["", "yes", "no", "maybe", "message hans y", "y y", "yn", "\u{ff59}"] {
            assert_eq!(questions.settle(line), None, "{line:?}");
            assert_eq!(questions.prompt(), Some("hans would like to private message, enter y or n: "));
        }
        assert_eq!(questions.settle("y"), Some(("hans", true)));
    }

    #[test]
    fn without_a_question_y_is_a_command() {
        assert_eq!(Questions::<()>::default().settle("y"), None);
    }

    #[test]
    fn a_withdrawn_question_is_not_settled() {
        let (mut questions, now) = (open(), Instant::now());
        questions.ask("luke", "luke?".to_owned());
        assert!(questions.withdraw(now, |about| *about == "hans"));
        assert!(!questions.withdraw(now, |about| *about == "hans"));
        assert_eq!(questions.first(), Some(&"luke"));
        assert!(questions.withdraw(now, |about| *about == "luke"));
        assert_eq!(questions.settle("y"), None);
        assert!(!questions.is_unread(now, "y"), "without a question it is a command");
    }

    #[test]
    fn an_answer_to_one_is_not_taken_for_the_next() {
        let (mut questions, now) = (open(), Instant::now());
        questions.ask("luke", "luke?".to_owned());
        questions.ask("yoda", "yoda?".to_owned());
        questions.withdraw(now, |about| *about == "yoda");
        assert!(!questions.is_unread(now, "y"), "the first one stands where it stood");
        let mut named = open();
        named.ask("luke", "luke?".to_owned());
        named.answered(|about| *about == "hans");
        assert!(!named.is_unread(now, "y"), "who typed the name has read what comes next");
        questions.withdraw(now, |about| *about == "hans");
        assert!(questions.is_unread(now, " y ") && questions.is_unread(now + READING / 2, "n"));
        assert!(!questions.is_unread(now, "whoelse"));
        assert!(!questions.is_unread(now + READING, "y"), "by then it was read");
        assert_eq!(questions.settle("y"), Some(("luke", true)));
    }

    #[test]
    fn a_question_about_the_line_goes_before_those_that_wait() {
        let mut questions = open();
        questions.ask_first("leave", "leave?".to_owned());
        questions.ask_first("leave", "leave?".to_owned());
        assert_eq!(questions.settle("n"), Some(("leave", false)));
        assert_eq!(questions.settle("n"), Some(("hans", false)));
    }

    #[test]
    fn the_oldest_is_settled_first_and_none_is_asked_twice() {
        let mut questions = open();
        questions.ask("luke", "luke?".to_owned());
        questions.ask("hans", "again?".to_owned());
        assert_eq!(questions.settle("n"), Some(("hans", false)));
        assert_eq!(questions.prompt(), Some("luke?"));
        assert_eq!(questions.settle("y"), Some(("luke", true)));
        assert_eq!(questions.prompt(), None);
    }
}
