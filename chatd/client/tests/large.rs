//! A history of a million messages: what reading, listing and searching it costs, and what the index of its words adds to a message
//! (performance rows 13 and 16). Minutes long, so only by name: `cargo test -p chatd --test large -- --ignored --nocapture`.
//!
//! `CHAT_MESSAGES` sets another size; the bounds hold for a million.
#![cfg(target_os = "linux")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chat_proto::id::{DeviceId, Incarnation, Position};
use chat_proto::limits::CONTROL_PAGE_BYTES;
use chat_proto::wire::{TEXT_PLAIN, kind};
use chatd::history::sqlite::Sqlite;
use chatd::history::{History, Incoming, NewMessage, Pattern, Place, Search, Wanted, Write};

const MESSAGES: u64 = 1_000_000;
/// Messages in one commit while the history grows: a busy session's.
const BATCH: u64 = 500;
const PEOPLE: u64 = 200;
/// Different words; the n-th is n times as rare as the first.
const WORDS: u64 = 50_000;
const WORDS_IN_A_TEXT: u64 = 10;
/// Questions of each kind.
const ASKED: u64 = 300;
/// Row 16: what the slowest of a hundred may take.
const MUST: Duration = Duration::from_millis(100);
/// Messages queued one a commit.
const QUEUED: u64 = 500;

/// A repeatable stream of numbers (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// The rank of a word as texts have them: about as often as its rank is low.
    fn rank(&mut self) -> u64 {
        let part = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        ((WORDS as f64).powf(part) as u64).clamp(1, WORDS)
    }

    fn text(&mut self) -> String {
        (0..WORDS_IN_A_TEXT).map(|_| word(self.rank())).collect::<Vec<_>>().join(" ")
    }
}

/// The word of a rank: letters alone, different beginnings for neighbours.
fn word(rank: u64) -> String {
    let (mut rest, mut text) = (rank.wrapping_mul(7919) % 456_976, String::new());
    for _ in 0..4 {
        text.push(char::from(b'a' + (rest % 26) as u8));
        rest /= 26;
    }
    format!("{text}{}", ["", "er", "ing", "ation"][(rank % 4) as usize])
}

fn at(n: u64) -> Position {
    Position { epoch: 1, nonce: 1, n }
}

fn entry(n: u64, numbers: &mut Numbers) -> Incoming {
    let person = numbers.below(PEOPLE);
    let mut device = [0; 16];
    device[..8].copy_from_slice(&(person + 1).to_be_bytes());
    Incoming {
        position: at(n),
        kind: kind::DIRECT,
        from: format!("person{person}"),
        to: "alice".into(),
        device: Some(DeviceId(device)),
        place: Place { incarnation: Incarnation(9), cseq: n },
        at_ms: i64::try_from(n).unwrap_or_default() * 1000,
        content_type: TEXT_PLAIN.into(),
        body: numbers.text().into_bytes().into(),
        read: false,
    }
}

struct Store {
    home: tempfile::TempDir,
    history: Sqlite,
}

fn file(home: &Path) -> PathBuf {
    home.join("work").join("chat.db")
}

impl Store {
    fn new(indexed: bool) -> Store {
        let home = tempfile::tempdir().expect("a directory");
        let path = file(home.path());
        if !indexed {
            drop(Sqlite::open(&path).expect("opened"));
            let raw = rusqlite::Connection::open(&path).expect("opened");
            raw.execute_batch("DROP TRIGGER message_search_new").expect("dropped");
        }
        let history = Sqlite::open(&path).expect("opened");
        Store { home, history }
    }

    fn write(&mut self, write: Write) {
        self.history.commit(&[write]).expect("committed");
    }

    /// The processor time of a message that came in a batch.
    fn fill(&mut self, messages: u64) -> Duration {
        let mut numbers = Numbers(1);
        let mut spent = Duration::ZERO;
        for first in (1..=messages).step_by(usize::try_from(BATCH).expect("small")) {
            let entries: Vec<Incoming> = (first..first + BATCH).map(|n| entry(n, &mut numbers)).collect();
            let cursor = at(first + BATCH - 1);
            let began = processor();
            self.write(Write::Receive { account: "alice".into(), device: DeviceId([1; 16]), entries, cursor });
            spent += processor() - began;
        }
        spent / u32::try_from(messages).expect("fits")
    }

    /// The middle time of a message that is queued alone.
    fn queue(&mut self) -> Duration {
        let mut numbers = Numbers(2);
        let mut times: Vec<Duration> = (0..QUEUED)
            .map(|n| {
                let message = NewMessage {
                    key: format!("key{n}"),
                    kind: kind::DIRECT,
                    from: "alice".into(),
                    to: "person1".into(),
                    content_type: TEXT_PLAIN.into(),
                    body: numbers.text().into_bytes().into(),
                    h: [0; 32],
                    at_ms: 5,
                    device: DeviceId([1; 16]),
                    incarnation: Incarnation(3),
                    peer: None,
                };
                let began = Instant::now();
                self.write(Write::Queue(message));
                began.elapsed()
            })
            .collect();
        times.sort_unstable();
        times[times.len() / 2]
    }

    fn size(&self) -> u64 {
        let beside = |name: &str| file(self.home.path()).with_file_name(name).metadata().map_or(0, |meta| meta.len());
        beside("chat.db") + beside("chat.db-wal")
    }
}

/// Processor time of this thread, as the kernel counts it: other load on the machine is not in it.
fn processor() -> Duration {
    let counted = std::fs::read_to_string("/proc/thread-self/schedstat").expect("the kernel counts");
    let ns = counted.split_whitespace().next().and_then(|ns| ns.parse().ok()).expect("nanoseconds");
    Duration::from_nanos(ns)
}

/// Asks so many times; the middle and the slowest of a hundred.
fn asked(what: &str, mut question: impl FnMut(u64) -> usize) -> Duration {
    let mut found = 0;
    let mut times: Vec<Duration> = (0..ASKED)
        .map(|n| {
            let began = Instant::now();
            found += question(n);
            began.elapsed()
        })
        .collect();
    times.sort_unstable();
    let (middle, slowest) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    eprintln!("{what}: p50 {middle:?}, p99 {slowest:?}, {} rows each", found / usize::try_from(ASKED).expect("small"));
    assert!(found > 0, "{what} found nothing");
    slowest
}

fn words(text: String) -> Search {
    Search {
        pattern: Pattern::Words(text),
        peer: None,
        from: None,
        since_ms: None,
        after: 0,
        context: 0,
        page_bytes: CONTROL_PAGE_BYTES,
    }
}

#[test]
#[ignore = "builds histories of a million messages: minutes"]
fn a_million_messages() {
    let messages = std::env::var("CHAT_MESSAGES").ok().and_then(|text| text.parse().ok()).unwrap_or(MESSAGES);
    let mut plain = Store::new(false);
    let (filled, queued, size) = (plain.fill(messages), plain.queue(), plain.size());
    eprintln!(
        "{messages} messages without the index: {filled:?} received, {queued:?} queued alone, {} MiB",
        size >> 20
    );
    let path = file(plain.home.path());
    let Store { home, history } = plain;
    drop(history);
    let raw = rusqlite::Connection::open(&path).expect("opened");
    raw.execute_batch(
        "DROP TRIGGER message_search_changed; DROP TRIGGER message_search_gone; DROP TABLE search; DROP INDEX message_void; \
         ALTER TABLE message DROP COLUMN void; DELETE FROM refinery_schema_history WHERE version >= 5;",
    )
    .expect("set back");
    drop(raw);
    let began = Instant::now();
    drop(Sqlite::open(&path).expect("opened"));
    eprintln!("an older history is indexed when it is opened: {:?}", began.elapsed());
    drop(home);
    let mut store = Store::new(true);
    let (with, alone, size) = (store.fill(messages), store.queue(), store.size());
    eprintln!("with the index: {with:?} CPU received, {alone:?} queued alone, {} MiB", size >> 20);
    let ratio = |after: Duration, before: Duration| after.as_secs_f64() / before.as_secs_f64();
    eprintln!("the index: {:.2} times received, {:.2} times queued alone", ratio(with, filled), ratio(alone, queued));

    let mut numbers = Numbers(3);
    let page = Wanted { page_bytes: CONTROL_PAGE_BYTES, ..Wanted::default() };
    let newest = Wanted { newest: Some(20), ..page };
    let mut slowest = Vec::new();
    slowest.push(asked("read, newest 20", |_| store.history.page(&newest).expect("read").0.len()));
    slowest.push(asked("read USER, newest 20", |n| {
        let wanted = Wanted { peer: Some(format!("person{}", n % PEOPLE)), ..newest.clone() };
        store.history.page(&wanted).expect("read").0.len()
    }));
    slowest.push(asked("read --unread, a page", |_| {
        let wanted = Wanted { unread: true, newest: None, ..newest.clone() };
        store.history.page(&wanted).expect("read").0.len()
    }));
    slowest.push(asked("inbox", |_| store.history.conversations(false, 200).expect("read").len()));
    slowest.push(asked("unread", |_| store.history.unread(None).expect("read").len()));
    for (what, low, high) in [("rare", 10_000, WORDS), ("usual", 100, 10_000), ("most frequent", 1, 20)] {
        slowest.push(asked(&format!("search, a {what} word"), |_| {
            let search = words(word(low + numbers.below(high - low)));
            store.history.search(&search).expect("searched").0.len()
        }));
    }
    slowest.push(asked("search, two usual words", |_| {
        let search = words(format!("{} {}", word(numbers.rank()), word(numbers.rank())));
        store.history.search(&search).expect("searched").0.len()
    }));
    slowest.push(asked("search, the first three letters of a word", |_| {
        let search = words(word(numbers.rank())[..3].to_owned());
        store.history.search(&search).expect("searched").0.len()
    }));
    slowest.push(asked("search, a usual word with what stands around, from one person", |n| {
        let from = Some(format!("person{}", n % PEOPLE));
        let search = Search { from, context: 2, ..words(word(20 + numbers.below(500))) };
        store.history.search(&search).expect("searched").0.len()
    }));
    asked("search --regex, one part of the way", |n| {
        let pattern = Pattern::Regex(regex::Regex::new("^[a-f]+ing .*er$").expect("a pattern"));
        let search = Search { pattern, after: n * 1000, ..words(String::new()) };
        store.history.search(&search).expect("searched").0.len()
    });
    let slowest = slowest.into_iter().max().unwrap_or_default();
    assert!(slowest < MUST, "row 16 is missed: {slowest:?}");
}
