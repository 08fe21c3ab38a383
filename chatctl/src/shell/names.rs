//! Names that were seen, for completion on Tab. Filled from what comes by anyway: asking the server would count as activity.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::line;
use crate::output::Shown;

/// Names kept; more than anyone completes.
const NAMES_MAX: usize = 1000;

/// The names. A lock, as the editor's thread reads while the session adds; neither waits for anything under it.
#[derive(Clone, Default)]
pub struct Names(Arc<Mutex<BTreeSet<String>>>);

impl Names {
    fn set(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a name; one that a terminal would not show as it is, is left to be typed.
    pub fn add(&self, name: &str) {
        let plain = !name.is_empty() && !name.contains([' ', '\t']) && Shown::line(name).to_string() == name;
        let mut names = self.set();
        if plain && names.len() < NAMES_MAX {
            names.insert(name.to_owned());
        }
    }

    /// The ways to go on from a line that is typed so far: where the word to be replaced begins, and what may stand there.
    pub fn complete(&self, typed: &str) -> (usize, Vec<String>) {
        let begin = typed.rfind([' ', '\t']).map_or(0, |blank| blank + 1);
        let (before, part) = typed.split_at(begin);
        let mut words = before.split_ascii_whitespace();
        let candidates = match (words.next(), words.next()) {
            (None, _) => beginnings(part),
            (Some("help"), None) => beginnings(part),
            (Some(word), None) if line::known(word).is_some_and(|word| word.takes_user) => self.beginning_with(part),
            _ => Vec::new(),
        };
        (begin, candidates)
    }

    fn beginning_with(&self, part: &str) -> Vec<String> {
        let names = self.set();
        names.iter().filter(|name| name.starts_with(part)).map(|name| format!("{name} ")).collect()
    }
}

fn beginnings(part: &str) -> Vec<String> {
    let words = line::WORDS.iter().filter(|word| word.name.starts_with(part));
    words.map(|word| format!("{}{}", word.name, if word.form == word.name { "" } else { " " })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_first_then_names() {
        let names = Names::default();
        for name in ["hans", "hansi", "luke", "\u{202e}evil", "two words", ""] {
            names.add(name);
        }
        assert_eq!(names.complete("me"), (0, vec!["message ".to_owned()]));
        assert_eq!(names.complete("whoelse"), (0, vec!["whoelse".to_owned(), "whoelsesince ".to_owned()]));
        assert_eq!(names.complete("message ha"), (8, vec!["hans ".to_owned(), "hansi ".to_owned()]));
        assert_eq!(names.complete("  block lu"), (8, vec!["luke ".to_owned()]));
        assert_eq!(names.complete("message "), (8, vec!["hans ".to_owned(), "hansi ".to_owned(), "luke ".to_owned()]));
        assert_eq!(names.complete("message hans ha").1, Vec::<String>::new());
        assert_eq!(names.complete("broadcast ha").1, Vec::<String>::new());
        assert_eq!(names.complete("help blo").1, ["block ".to_owned(), "blocked".to_owned()]);
    }

    #[test]
    fn names_are_bounded() {
        let names = Names::default();
        (0..2 * NAMES_MAX).for_each(|n| names.add(&format!("u{n}")));
        assert_eq!(names.set().len(), NAMES_MAX);
    }
}
