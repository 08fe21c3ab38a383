//! The server's side of a sending stream: which place may be decided now, and what was decided (contract rules 1 and 2).
//!
//! Called by the server's store writer inside the deciding transaction; kept as one blob per stream.

use std::collections::VecDeque;

use crate::limits::DECISIONS_KEPT;

/// A recorded decision. A refusal is recorded like an acceptance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// First 8 bytes of the content hash.
    pub h8: u64,
    /// 0 = accepted, else a [`crate::fault::Code`] number.
    pub code: u32,
    /// Accepted: the place in the server's log, else 0.
    pub n: u64,
}

/// What an offered place is to the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// The next place: decide it.
    Decide,
    /// Decided before, same content: this stands.
    Stored(Decision),
    /// Decided before with other content: a living clone or a fault of the client; what was decided stands.
    Conflict(Decision),
    /// Decided so long ago that the decision is not kept.
    Lost,
    /// Beyond the next place: nothing is decided, send again behind `last`.
    Gap {
        /// The last decided place.
        last: u64,
    },
}

/// One sending stream as the server knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stream {
    last: u64,
    recent: VecDeque<Decision>,
}

impl Stream {
    /// The last decided place; 0 before the first.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// The kept decisions, the newest (of place [`Stream::last`]) at the end.
    pub fn recent(&self) -> impl ExactSizeIterator<Item = &Decision> {
        self.recent.iter()
    }

    /// What place `cseq` with this content is.
    pub fn offer(&self, cseq: u64, h8: u64) -> Offer {
        match self.decision(cseq) {
            Some(stored) if stored.h8 == h8 => Offer::Stored(stored),
            Some(stored) => Offer::Conflict(stored),
            None if cseq <= self.last => Offer::Lost,
            // behind the arm above it is at least 1; a damaged store may say that `last` is the largest number
            None if cseq - 1 == self.last => Offer::Decide,
            None => Offer::Gap { last: self.last },
        }
    }

    /// What place `cseq` is when its sender gives it up: a stored verdict stands whatever the content.
    pub fn offer_void(&self, cseq: u64) -> Offer {
        match self.decision(cseq) {
            Some(stored) => Offer::Stored(stored),
            None => self.offer(cseq, 0),
        }
    }

    /// Records the decision of the next place. Call only where [`Stream::offer`] said [`Offer::Decide`].
    pub fn record(&mut self, decision: Decision) {
        self.last += 1;
        self.recent.push_back(decision);
        while self.recent.len() > DECISIONS_KEPT {
            self.recent.pop_front();
        }
    }

    fn decision(&self, cseq: u64) -> Option<Decision> {
        let age = self.last.checked_sub(cseq)? as usize;
        let index = self.recent.len().checked_sub(1)?.checked_sub(age)?;
        (cseq > 0).then(|| self.recent.get(index).copied()).flatten()
    }

    /// The kept decisions as the store keeps them beside `last`: 20 bytes each, oldest first.
    pub fn encode_recent(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.recent.len() * 20);
        for d in &self.recent {
            out.extend_from_slice(&d.h8.to_be_bytes());
            out.extend_from_slice(&d.code.to_be_bytes());
            out.extend_from_slice(&d.n.to_be_bytes());
        }
        out
    }

    /// The stream back from the store; `None` when the blob is damaged.
    pub fn decode(last: u64, recent: &[u8]) -> Option<Stream> {
        let chunks = recent.chunks_exact(20);
        if !chunks.remainder().is_empty() || chunks.len() > DECISIONS_KEPT || chunks.len() as u64 > last {
            return None;
        }
        let recent = chunks
            .map(|c| {
                Some(Decision {
                    h8: u64::from_be_bytes(*c.first_chunk()?),
                    code: u32::from_be_bytes(*c[8..].first_chunk()?),
                    n: u64::from_be_bytes(*c[12..].first_chunk()?),
                })
            })
            .collect::<Option<_>>()?;
        Some(Stream { last, recent })
    }
}

/// The receiving side's whole memory of a stream: the highest place seen. True when `cseq` is new.
///
/// P3 needs no time window: entries of one stream reach one inbox in rising order.
pub fn is_new(highest: u64, cseq: u64) -> bool {
    cseq > highest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(h8: u64, n: u64) -> Decision {
        Decision { h8, code: 0, n }
    }

    #[test]
    fn decides_in_order_and_remembers() {
        let mut stream = Stream::default();
        assert_eq!(stream.offer(2, 7), Offer::Gap { last: 0 });
        assert_eq!(stream.offer(0, 7), Offer::Lost);
        for place in 1..=100 {
            assert_eq!(stream.offer(place, place), Offer::Decide);
            stream.record(accepted(place, place * 10));
        }
        assert_eq!(stream.offer(100, 100), Offer::Stored(accepted(100, 1000)));
        assert_eq!(stream.offer(100, 1), Offer::Conflict(accepted(100, 1000)));
        assert_eq!(stream.offer(37, 37), Offer::Stored(accepted(37, 370)));
        assert_eq!(stream.offer(36, 36), Offer::Lost);
        assert_eq!(stream.offer_void(90), Offer::Stored(accepted(90, 900)));
        assert_eq!(stream.offer_void(101), Offer::Decide);
        let back = Stream::decode(stream.last(), &stream.encode_recent());
        assert_eq!(back, Some(stream));
    }

    #[test]
    fn damaged_blobs_are_refused() {
        assert_eq!(Stream::decode(1, &[0; 19]), None);
        assert_eq!(Stream::decode(1, &[0; 40]), None);
        assert_eq!(Stream::decode(100, &[0; 20 * 65]), None);
    }
}
