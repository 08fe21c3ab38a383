//! Questions that wait for y or n while the person goes on: only y or n settles the one that was asked first; any other line is an
//! ordinary command, and the question stays open. Pure; the login and the session of the shell ask through it.

use std::collections::VecDeque;

/// Open questions, oldest first. `T` says what is to be decided.
#[derive(Debug)]
pub struct Questions<T> {
    open: VecDeque<(T, String)>,
}

impl<T> Default for Questions<T> {
    fn default() -> Self {
        Questions { open: VecDeque::new() }
    }
}

impl<T: PartialEq> Questions<T> {
    /// Opens a question; one that is open already is not asked twice.
    pub fn ask(&mut self, about: T, text: String) {
        if self.open.iter().all(|(open, _)| *open != about) {
            self.open.push_back((about, text));
        }
    }

    /// The words of the question that y or n would settle now: they stand in place of the prompt.
    pub fn prompt(&self) -> Option<&str> {
        self.open.front().map(|(_, text)| text.as_str())
    }

    /// Settles the oldest question, if there is one and the line is y or n; nothing means that the line is an ordinary command.
    pub fn settle(&mut self, line: &str) -> Option<(T, bool)> {
        let yes = match line.trim_matches([' ', '\t']) {
            "y" | "Y" => true,
            "n" | "N" => false,
            _ => return None,
        };
        self.open.pop_front().map(|(about, _)| (about, yes))
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
