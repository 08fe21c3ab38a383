//! What followers and hooks are told of the requests of others: at most one word a second for each who asks, and the last one always
//! (S32). The owner's `request` puts words in, time takes them out.

use std::collections::{HashMap, VecDeque};

use chat_proto::control::private::{PrivateRequest, RequestState};
use chat_proto::limits::{PEER_NOTICES_EVERY, REQUESTS_IN};
use tokio::time::Instant;

/// Words about requests, by who asks.
#[derive(Default)]
pub(super) struct Notices {
    of: HashMap<String, Words>,
}

/// Words about the requests of one.
#[derive(Default)]
struct Words {
    /// When something was told last.
    last: Option<Instant>,
    /// The request that was told as open last.
    open: Option<String>,
    /// What is to be told: the end of the one that was told as open, and the newest word of another.
    waiting: VecDeque<PrivateRequest>,
}

impl Words {
    fn next(&self) -> Option<Instant> {
        self.last.map(|last| last + PEER_NOTICES_EVERY)
    }

    fn told(&mut self, now: Instant, word: &PrivateRequest) {
        self.last = Some(now);
        match word.state {
            RequestState::Asked => self.open = Some(word.id.clone()),
            _ => {
                self.open.take_if(|open| *open == word.id);
            }
        }
    }
}

impl Notices {
    /// Takes a word; answers it when it is to be told now. What this side's own user did is no flood, and waits for nothing.
    pub fn put(&mut self, now: Instant, word: PrivateRequest, by_user: bool) -> Option<PrivateRequest> {
        if !self.of.contains_key(&word.peer) && self.of.len() >= REQUESTS_IN {
            self.forget(now);
            if self.of.len() >= REQUESTS_IN {
                // So many ask at once: that is no single one's doing.
                return Some(word);
            }
        }
        let words = self.of.entry(word.peer.clone()).or_default();
        words.waiting.retain(|older| older.id != word.id);
        if by_user || (words.waiting.is_empty() && words.next().is_none_or(|next| next <= now)) {
            words.told(now, &word);
            return Some(word);
        }
        let Words { open, waiting, .. } = words;
        waiting.retain(|older| open.as_ref() == Some(&older.id));
        waiting.push_back(word);
        None
    }

    /// What is to be told now.
    pub fn poll(&mut self, now: Instant) -> Vec<PrivateRequest> {
        let mut due = Vec::new();
        for words in self.of.values_mut().filter(|words| words.next().is_none_or(|next| next <= now)) {
            if let Some(word) = words.waiting.pop_front() {
                words.told(now, &word);
                due.push(word);
            }
        }
        due
    }

    /// When [`Notices::poll`] is to be called though nothing happens.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.of.values().filter(|words| !words.waiting.is_empty()).filter_map(Words::next).min()
    }

    /// Forgets those of whom something could be told at once.
    fn forget(&mut self, now: Instant) {
        self.of.retain(|_, words| !words.waiting.is_empty() || words.next().is_some_and(|next| next > now));
    }
}

#[cfg(test)]
mod tests {
    use chat_proto::control::private::Direction;

    use super::*;

    fn word(peer: &str, id: u32, state: RequestState) -> PrivateRequest {
        PrivateRequest {
            id: id.to_string(),
            peer: peer.into(),
            dir: Direction::In,
            state,
            note: None,
            at_ms: 0,
            expires_at_ms: 0,
            session: None,
        }
    }

    fn named(word: &PrivateRequest) -> (u32, RequestState) {
        (word.id.parse().expect("a number"), word.state)
    }

    #[test]
    fn s32_one_word_a_second_the_end_of_what_was_shown_and_the_last() {
        use RequestState::{Asked, Withdrawn};
        let (mut notices, began) = (Notices::default(), Instant::now());
        let told = notices.put(began, word("mallory", 0, Asked), false).expect("the first at once");
        assert_eq!(named(&told), (0, Asked));
        assert!(notices.put(began, word("mallory", 0, Withdrawn), false).is_none());
        for id in 1..=1000 {
            assert!(notices.put(began, word("mallory", id, Asked), false).is_none());
            assert!(notices.put(began, word("mallory", id, Withdrawn), false).is_none());
        }
        assert!(notices.put(began, word("carol", 5, Asked), false).is_some(), "nobody waits for another");
        assert!(notices.poll(began).is_empty());
        let mut now = began;
        for expected in [(0, Withdrawn), (1000, Withdrawn)] {
            now += PEER_NOTICES_EVERY;
            assert_eq!(notices.poll_timeout(), Some(now));
            assert_eq!(notices.poll(now).iter().map(named).collect::<Vec<_>>(), [expected]);
            assert!(notices.poll(now).is_empty());
        }
        assert_eq!(notices.poll_timeout(), None);
    }

    #[test]
    fn the_users_own_yes_is_told_at_once_and_what_it_answers_no_more() {
        use RequestState::{Accepted, Asked, Withdrawn};
        let (mut notices, now) = (Notices::default(), Instant::now());
        assert!(notices.put(now, word("bob", 1, Asked), false).is_some());
        assert!(notices.put(now, word("bob", 1, Withdrawn), false).is_none());
        assert!(notices.put(now, word("bob", 2, Asked), false).is_none());
        assert!(notices.put(now, word("bob", 2, Accepted), true).is_some());
        let later = notices.poll(now + PEER_NOTICES_EVERY);
        assert_eq!(later.iter().map(named).collect::<Vec<_>>(), [(1, Withdrawn)]);
    }

    #[test]
    fn names_without_end_are_not_remembered() {
        let (mut notices, began) = (Notices::default(), Instant::now());
        for n in 0..3 * REQUESTS_IN {
            assert!(notices.put(began, word(&format!("p{n}"), 1, RequestState::Asked), false).is_some());
        }
        assert_eq!(notices.of.len(), REQUESTS_IN);
        let later = began + PEER_NOTICES_EVERY;
        assert!(notices.put(later, word("dave", 1, RequestState::Asked), false).is_some());
        assert_eq!(notices.of.len(), 1);
    }
}
