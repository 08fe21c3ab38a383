//! Rates: a bucket of tokens, and a bounded table of buckets by any key. Decides without a clock: time is an argument.
//!
//! The gateway limits senders with it, also those who reconnect (S20); accounts limit password logins and new accounts (S12).

use std::collections::HashMap;
use std::hash::Hash;

use chat_proto::limits::SOURCES_MAX;

/// Tokens that come back at a steady rate; all of them when full.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    tokens: f64,
    at_ms: u64,
}

/// How many at once, and how many a second. Nothing is limited when `per_second` is 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Tokens of a full bucket, at least 1.
    pub burst: f64,
    /// Tokens that come back a second.
    pub per_second: f64,
}

impl Rate {
    /// So many in a time of so many seconds, all at once if need be.
    pub fn per(count: u32, seconds: u32) -> Rate {
        Rate { burst: f64::from(count).max(1.0), per_second: f64::from(count) / f64::from(seconds.max(1)) }
    }

    /// So many at once, so many a second.
    pub fn burst(burst: u32, per_second: u32) -> Rate {
        Rate { burst: f64::from(burst).max(1.0), per_second: f64::from(per_second) }
    }

    fn is_off(&self) -> bool {
        self.per_second <= 0.0
    }
}

impl Bucket {
    /// A full one.
    pub fn full(rate: Rate, now_ms: u64) -> Bucket {
        Bucket { tokens: rate.burst, at_ms: now_ms }
    }

    /// Takes a token, or says in how many milliseconds one is there.
    pub fn take(&mut self, rate: Rate, now_ms: u64) -> Result<(), u64> {
        if rate.is_off() {
            return Ok(());
        }
        self.refill(rate, now_ms);
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        Err(((1.0 - self.tokens) / rate.per_second * 1000.0).ceil() as u64)
    }

    fn refill(&mut self, rate: Rate, now_ms: u64) {
        let passed = now_ms.saturating_sub(self.at_ms) as f64 / 1000.0;
        self.tokens = (self.tokens + passed * rate.per_second).min(rate.burst);
        self.at_ms = self.at_ms.max(now_ms);
    }
}

/// One bucket for each key (a source, a name) that was seen lately.
#[derive(Debug)]
pub struct PerKey<K> {
    rate: Rate,
    buckets: HashMap<K, Bucket>,
}

impl<K: Eq + Hash> PerKey<K> {
    /// No key was seen yet.
    pub fn new(rate: Rate) -> PerKey<K> {
        PerKey { rate, buckets: HashMap::new() }
    }

    /// From now on another rate; buckets keep what is in them, as far as it fits.
    pub fn set_rate(&mut self, rate: Rate) {
        self.rate = rate;
    }

    /// Takes a token of a key, or says in how many milliseconds one is there.
    pub fn take(&mut self, key: K, now_ms: u64) -> Result<(), u64> {
        if self.rate.is_off() {
            return Ok(());
        }
        self.make_room(&key, now_ms);
        let rate = self.rate;
        self.buckets.entry(key).or_insert_with(|| Bucket::full(rate, now_ms)).take(rate, now_ms)
    }

    /// The bucket of a key, for somebody who takes from it himself and puts it back.
    pub fn take_out(&mut self, key: &K, now_ms: u64) -> Bucket {
        self.buckets.remove(key).unwrap_or_else(|| Bucket::full(self.rate, now_ms))
    }

    /// A bucket that was taken out; a full one is not kept.
    pub fn put_back(&mut self, key: K, mut bucket: Bucket, now_ms: u64) {
        bucket.refill(self.rate, now_ms);
        if self.rate.is_off() || bucket.tokens >= self.rate.burst {
            return;
        }
        self.make_room(&key, now_ms);
        self.buckets.insert(key, bucket);
    }

    fn make_room(&mut self, key: &K, now_ms: u64) {
        if self.buckets.len() >= SOURCES_MAX && !self.buckets.contains_key(key) {
            self.forget(now_ms);
        }
    }

    /// Full buckets are as good as none. When that is not enough, everybody begins anew: memory is the firmer limit.
    fn forget(&mut self, now_ms: u64) {
        let rate = self.rate;
        self.buckets.retain(|_, bucket| {
            bucket.refill(rate, now_ms);
            bucket.tokens < rate.burst
        });
        if self.buckets.len() >= SOURCES_MAX {
            self.buckets.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_the_rate() {
        let rate = Rate::burst(3, 10);
        let mut bucket = Bucket::full(rate, 0);
        for _ in 0..3 {
            assert_eq!(bucket.take(rate, 0), Ok(()));
        }
        assert_eq!(bucket.take(rate, 0), Err(100));
        assert_eq!(bucket.take(rate, 100), Ok(()));
        assert!(bucket.take(rate, 100).is_err());
        assert_eq!(bucket.take(Rate::per(0, 60), 100), Ok(()), "0 is off");
    }

    #[test]
    fn the_table_is_bounded() {
        let mut table = PerKey::new(Rate::per(1, 3600));
        for n in 0..=SOURCES_MAX as u32 {
            assert_eq!(table.take(n, 0), Ok(()));
            assert!(table.buckets.len() <= SOURCES_MAX);
        }
        for n in 0..=SOURCES_MAX as u32 {
            table.put_back(n, Bucket { tokens: 0.0, at_ms: 0 }, 0);
            assert!(table.buckets.len() <= SOURCES_MAX);
        }
    }

    #[test]
    fn a_bucket_is_kept_until_it_would_be_full() {
        let rate = Rate::burst(3, 1);
        let mut table = PerKey::new(rate);
        let mut bucket = table.take_out(&"a", 0);
        assert_eq!([(); 3].map(|()| bucket.take(rate, 0)), [Ok(()); 3]);
        table.put_back("a", bucket, 0);
        let mut bucket = table.take_out(&"a", 1000);
        assert_eq!((bucket.take(rate, 1000), bucket.take(rate, 1000)), (Ok(()), Err(1000)), "a second is one token");
        table.put_back("a", bucket, 4000);
        assert!(table.buckets.is_empty(), "a full one is as good as none");
    }
}
