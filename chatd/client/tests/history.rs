//! The contract of the history seam: what every implementation must hold. It runs for SQLite, the only one.

use std::path::{Path, PathBuf};
use std::slice;

use chat_proto::control::file::{Conflict, FileState};
use chat_proto::control::message::State;
use chat_proto::control::private::Direction;
use chat_proto::fault::Code;
use chat_proto::id::{CursorName, DeviceId, Incarnation, Position, ServerId};
use chat_proto::machine::outbox::Settle;
use chat_proto::wire::{self, TEXT_PLAIN, content_hash, kind};
use chatd::history::file::{FileWrite, Spot, Transfer};
use chatd::history::sqlite::Sqlite;
use chatd::history::{
    Cursor, CursorChange, Done, Found, History, Incoming, Mark, NewMessage, Own, Pattern, PeerDevice, Place, Reach,
    Row, Search, Verdict, Wanted, Write,
};
use prost::Message as _;

const HERE: DeviceId = DeviceId([1; 16]);
const BOBS: DeviceId = DeviceId([2; 16]);
const INC: Incarnation = Incarnation(u64::MAX - 5);

struct Store {
    home: tempfile::TempDir,
    history: Sqlite,
}

impl Store {
    fn new() -> Store {
        let home = tempfile::tempdir().expect("a directory");
        let history = Sqlite::open(&file(home.path())).expect("opened");
        Store { home, history }
    }

    /// As a start would find it, and nothing of the process before.
    fn reopened(self) -> Store {
        let Store { home, history } = self;
        drop(history);
        let history = Sqlite::open(&file(home.path())).expect("opened");
        Store { home, history }
    }

    fn write(&mut self, write: Write) -> Done {
        self.history.commit(&[write]).expect("committed").pop().expect("one answer")
    }

    fn queue(&mut self, text: &str, key: &str) -> Row {
        match self.write(Write::Queue(new(text, key))) {
            Done::Queued { row, .. } => *row,
            other => panic!("{other:?}"),
        }
    }

    fn settle(&mut self, cseq: u64, code: Code, n: Option<u64>) -> Vec<Row> {
        let position = n.map(at);
        let settle = Settle { incarnation: INC, cseq, code, position, stored: false };
        match self.write(Write::Settle(vec![Verdict {
            sending: None,
            settle,
            online: true,
            audience: 0,
            missed: false,
        }])) {
            Done::Changed(rows) => rows,
            other => panic!("{other:?}"),
        }
    }

    fn receive(&mut self, entries: Vec<Incoming>) -> (Vec<Row>, Vec<Row>) {
        let cursor = entries.last().expect("some").position;
        let write = Write::Receive { account: "alice".into(), device: HERE, entries, cursor };
        match self.write(write) {
            Done::Received { new, expired } => (new, expired),
            other => panic!("{other:?}"),
        }
    }

    fn all(&mut self) -> Vec<Row> {
        self.history.page(&Wanted { page_bytes: usize::MAX, ..Wanted::default() }).expect("read").0
    }
}

fn file(home: &Path) -> PathBuf {
    home.join("work").join("chat.db")
}

fn at(n: u64) -> Position {
    Position { epoch: 1, nonce: u64::MAX, n }
}

fn new(text: &str, key: &str) -> NewMessage {
    NewMessage {
        key: key.into(),
        kind: kind::DIRECT,
        from: "alice".into(),
        to: "bob".into(),
        content_type: TEXT_PLAIN.into(),
        body: text.as_bytes().to_vec().into(),
        h: content_hash("bob", kind::DIRECT, TEXT_PLAIN, text.as_bytes()),
        at_ms: 5,
        device: HERE,
        incarnation: INC,
        peer: None,
    }
}

fn from_bob(n: u64, cseq: u64, text: &str) -> Incoming {
    Incoming {
        position: at(n),
        kind: kind::DIRECT,
        from: "bob".into(),
        to: "alice".into(),
        device: Some(BOBS),
        place: Place { incarnation: Incarnation(9), cseq },
        at_ms: 6,
        content_type: TEXT_PLAIN.into(),
        body: text.as_bytes().to_vec().into(),
        read: false,
    }
}

#[test]
fn places_are_given_in_the_commit_and_keys_are_kept() {
    let mut store = Store::new();
    let first = store.queue("a", "k1");
    assert_eq!((first.place, first.state, first.own), (Place { incarnation: INC, cseq: 1 }, State::Queued, Own::Here));
    assert_eq!(store.queue("b", "k2").place.cseq, 2);
    let again = store.write(Write::Queue(new("a", "k1")));
    assert!(matches!(again, Done::Queued { row, entry: None } if row.id == first.id));
    assert!(matches!(store.write(Write::Queue(new("other", "k1"))), Done::Conflict));
    assert_eq!(store.queue("c", "k3").place.cseq, 3, "a key that was used takes no place");
}

#[test]
fn a_start_finds_open_places_and_the_newest_stream() {
    let mut store = Store::new();
    for (text, key) in [("a", "k1"), ("b", "k2"), ("c", "k3")] {
        store.queue(text, key);
    }
    assert_eq!(store.settle(1, Code::ACCEPTED, Some(7)).len(), 1);
    assert!(store.settle(1, Code::INTERNAL, None).is_empty(), "a verdict stands");
    let mut store = store.reopened();
    let restored = store.history.restore().expect("read");
    let (incarnation, settled, open) = &restored.streams[0];
    assert_eq!((*incarnation, *settled), (INC, 1));
    assert_eq!(open.iter().map(|e| (e.cseq, e.size)).collect::<Vec<_>>(), [(2, 1), (3, 1)]);
    store.settle(2, Code::INBOX_FULL, None);
    store.settle(3, Code::ACCEPTED, Some(8));
    let restored = store.history.restore().expect("read");
    assert_eq!(restored.streams, [(INC, 3, vec![])]);
    let counts = store.history.counts().expect("counted");
    assert_eq!((counts.queued, counts.failed), (0, 1));
    let failed = store.history.outbox(10).expect("read");
    assert_eq!((failed[0].state, failed[0].code), (State::Failed, Some(Code::INBOX_FULL)));
    store.write(Write::Looked(vec![failed[0].index]));
    assert_eq!(store.history.counts().expect("counted").failed, 0);
}

#[test]
fn entries_are_kept_once_with_the_cursor() {
    let mut store = Store::new();
    let (fresh, _) = store.receive(vec![from_bob(3, 1, "one"), from_bob(4, 2, "two")]);
    assert_eq!(fresh.iter().map(|row| row.index).collect::<Vec<_>>(), [1, 2]);
    let (fresh, _) = store.receive(vec![from_bob(9, 2, "two"), from_bob(10, 3, "three")]);
    assert_eq!(fresh.len(), 1, "the same message at another place");
    let own =
        Incoming { from: "alice".into(), to: "bob".into(), device: Some(DeviceId([7; 16])), ..from_bob(11, 1, "x") };
    let (fresh, _) = store.receive(vec![own.clone()]);
    assert_eq!((fresh[0].own, fresh[0].state), (Own::Elsewhere, State::Accepted));
    assert!(store.receive(vec![own]).0.is_empty());
    let mut store = store.reopened();
    assert_eq!(store.history.restore().expect("read").cursor, Some(at(11)));
    assert_eq!(store.all().len(), 4);
    assert_eq!(store.history.unread(None).expect("counted"), [("bob".to_owned(), 3)]);
}

#[test]
fn own_messages_of_this_device_that_come_back_are_known() {
    let mut store = Store::new();
    store.queue("a", "k1");
    let back = Incoming {
        from: "alice".into(),
        to: "bob".into(),
        device: Some(HERE),
        place: Place { incarnation: INC, cseq: 1 },
        ..from_bob(4, 1, "a")
    };
    assert!(store.receive(vec![back]).0.is_empty());
}

#[test]
fn marks_rise_to_the_first_unread_and_until_confirmed() {
    let mut store = Store::new();
    store.receive(vec![from_bob(3, 1, "one"), from_bob(4, 2, "two"), from_bob(5, 3, "three")]);
    assert!(matches!(store.write(Write::MarkRead(vec![2])), Done::Marks { marks, .. } if marks.is_empty()));
    let mark = Mark { peer: "bob".into(), position: at(4) };
    assert!(
        matches!(store.write(Write::MarkRead(vec![1, 1, 99])), Done::Marks { marks, .. } if marks == [mark.clone()])
    );
    assert_eq!(store.history.restore().expect("read").marks, slice::from_ref(&mark));
    store.write(Write::MarkConfirmed(mark));
    assert!(store.history.restore().expect("read").marks.is_empty());
    store.write(Write::ReadElsewhere(Mark { peer: "bob".into(), position: at(5) }));
    assert!(store.history.unread(None).expect("counted").is_empty());
}

#[test]
fn receipts_are_state() {
    let mut store = Store::new();
    store.queue("a", "k1");
    store.queue("b", "k2");
    store.settle(1, Code::ACCEPTED, Some(7));
    store.settle(2, Code::ACCEPTED, Some(9));
    assert_eq!(store.history.awaited(10).expect("read"), ["bob"]);
    let mut reach = |delivered, read| {
        let item = Reach { peer: "bob".into(), delivered, read };
        match store.write(Write::Reached(vec![item])) {
            Done::Changed(rows) => rows.iter().map(|r| (r.place.cseq, r.state)).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(reach(8, 0), [(1, State::Delivered)]);
    assert_eq!(reach(9, 7), [(1, State::Read), (2, State::Delivered)]);
    assert!(reach(8, 3).is_empty(), "it never goes back");
    assert_eq!(reach(0, 9), [(2, State::Read)]);
    assert!(store.history.awaited(10).expect("read").is_empty());
}

#[test]
fn an_expired_message_says_so() {
    let mut store = Store::new();
    let id = store.queue("a", "k1").id;
    store.settle(1, Code::ACCEPTED, Some(7));
    let body = wire::Expired { device: HERE.0.to_vec(), incarnation: INC.0, cseq: 1, code: Code::EXPIRED.0 };
    let entry = Incoming {
        kind: kind::EXPIRED,
        from: String::new(),
        device: None,
        body: body.encode_to_vec().into(),
        ..from_bob(8, 0, "")
    };
    let forged = Incoming {
        from: "bob".into(),
        device: Some(BOBS),
        place: Place { incarnation: INC, cseq: 1 },
        ..entry.clone()
    };
    assert!(store.receive(vec![forged]).1.is_empty(), "only the server says that");
    let (_, expired) = store.receive(vec![entry]);
    assert_eq!((expired[0].id.clone(), expired[0].state, expired[0].code), (id, State::Expired, Some(Code::EXPIRED)));
}

#[test]
fn messages_are_found_by_key_id_and_unambiguous_end() {
    let mut store = Store::new();
    let row = store.queue("a", "build-7");
    store.queue("b", "build-8");
    for text in ["build-7", &row.id.0, &row.id.0[10..], &row.id.0[10..].to_uppercase()] {
        assert!(matches!(store.history.find(text).expect("read"), Found::One(found) if found.id == row.id), "{text}");
    }
    for text in ["", "%", "build-9", "zzzzzzzzzzzzzzzzz"] {
        assert_eq!(store.history.find(text).expect("read"), Found::None, "{text}");
    }
}

#[test]
fn pages_go_on_where_they_ended() {
    let mut store = Store::new();
    store.receive((1..=10).map(|n| from_bob(n, n, &"x".repeat(1000))).collect());
    let wanted = Wanted { page_bytes: 5000, newest: Some(8), ..Wanted::default() };
    let (page, next) = store.history.page(&wanted).expect("read");
    assert_eq!(page.iter().map(|r| r.index).collect::<Vec<_>>(), [3, 4, 5]);
    let rest = Wanted { after: next.expect("more"), newest: None, page_bytes: usize::MAX, ..wanted };
    let (page, next) = store.history.page(&rest).expect("read");
    assert_eq!((page.first().map(|r| r.index), page.len(), next), (Some(6), 5, None));
    let tiny = Wanted { page_bytes: 1, ..Wanted::default() };
    assert_eq!(store.history.page(&tiny).expect("read").0.len(), 1, "one always fits");
}

#[test]
fn forgotten_places_are_offered_again_or_void() {
    let mut store = Store::new();
    store.queue("a", "k1");
    store.queue("b", "k2");
    store.settle(1, Code::ACCEPTED, Some(7));
    store.settle(2, Code::RECIPIENT_BLOCKED, None);
    let entries = store.history.forgotten(INC, 1, 3).expect("read");
    assert_eq!(entries.iter().map(|e| (e.cseq, e.void)).collect::<Vec<_>>(), [(1, false), (2, true), (3, true)]);
    store.write(Write::Reopen(vec![Place { incarnation: INC, cseq: 1 }]));
    let entries = store.history.forgotten(INC, 1, 2).expect("read");
    assert_eq!(entries.iter().map(|e| e.void).collect::<Vec<_>>(), [false, true], "the session broke: once more");
    let mut store = store.reopened();
    assert_eq!(store.history.restore().expect("read").streams[0].2.len(), 1);
    let refused = store.settle(1, Code::RECIPIENT_BLOCKED, None);
    assert_eq!(refused[0].code, Some(Code::OUTCOME_LOST), "it may have been delivered before");
}

#[test]
fn another_server_or_device_gives_open_places_up() {
    let mut store = Store::new();
    let belong = |server, device| Write::Belong { server: ServerId([server; 32]), device };
    assert!(matches!(store.write(belong(1, HERE)), Done::Belongs { moved: false, .. }));
    store.queue("a", "k1");
    assert!(matches!(store.write(belong(1, HERE)), Done::Belongs { moved: false, lost } if lost.is_empty()));
    let Done::Belongs { moved, lost } = store.write(belong(2, HERE)) else { panic!("another answer") };
    assert!(moved);
    assert_eq!((lost[0].state, lost[0].code), (State::Failed, Some(Code::OUTCOME_LOST)));
    let restored = store.history.restore().expect("read");
    assert!(restored.streams.is_empty() && restored.cursor.is_none());
}

#[test]
fn what_was_committed_is_in_a_copy_taken_at_that_moment() {
    let mut store = Store::new();
    store.queue("a", "k1");
    store.receive(vec![from_bob(3, 1, "one")]);
    // What a power cut would leave: the files as they are, while the process still holds them.
    let copy = tempfile::tempdir().expect("a directory");
    let (from, to) = (file(store.home.path()), file(copy.path()));
    std::fs::create_dir_all(to.parent().expect("a directory")).expect("made");
    for name in ["chat.db", "chat.db-wal"] {
        std::fs::copy(from.with_file_name(name), to.with_file_name(name)).expect("copied");
    }
    private(&to);
    let mut after = Sqlite::open(&to).expect("opened");
    assert_eq!(after.page(&Wanted { page_bytes: usize::MAX, ..Wanted::default() }).expect("read").0.len(), 2);
    assert_eq!(after.restore().expect("read").cursor, Some(at(3)));
}

/// Files that are copied have the mode that the umask gives them.
#[cfg(unix)]
fn private(file: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let directory = file.parent().expect("a directory");
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o700)).expect("chmod");
    for entry in std::fs::read_dir(directory).expect("listed") {
        std::fs::set_permissions(entry.expect("there").path(), std::fs::Permissions::from_mode(0o600)).expect("chmod");
    }
}

/// Files that are copied have the rights of their folder.
#[cfg(windows)]
fn private(_file: &Path) {}

fn triage() -> CursorName {
    "triage".parse().expect("a name")
}

impl Store {
    fn cursor(&mut self, name: &CursorName, change: CursorChange) -> (Option<Cursor>, bool) {
        match self.write(Write::Cursor(name.clone(), change)) {
            Done::Cursor { cursor, changed } => (cursor, changed),
            other => panic!("{other:?}"),
        }
    }

    fn ack(&mut self, index: u64) -> (u64, bool) {
        let (cursor, changed) = self.cursor(&triage(), CursorChange::Ack { index, at_ms: 9 });
        (cursor.expect("a cursor").index, changed)
    }
}

#[test]
fn a_cursor_moves_forward_alone_and_is_kept() {
    let mut store = Store::new();
    let (rows, _) = store.receive(vec![from_bob(1, 1, "a"), from_bob(2, 2, "b"), from_bob(3, 3, "c")]);
    store.queue("own", "k1");
    let at: Vec<u64> = rows.iter().map(|row| row.index).collect();
    let open = CursorChange::Open { begin: at[0], at_ms: 7 };
    let made = Cursor { name: "triage".into(), index: at[0], at_ms: 7, id: Some(rows[0].id.clone()), waiting: 2 };
    assert_eq!(store.cursor(&triage(), open), (Some(made.clone()), true));
    // it is there now: where a new one would begin means nothing
    assert_eq!(store.cursor(&triage(), CursorChange::Open { begin: at[2], at_ms: 8 }), (Some(made), false));
    assert_eq!(store.ack(at[1]), (at[1], true));
    assert_eq!(store.ack(at[1]), (at[1], false));
    assert_eq!(store.ack(at[0]), (at[1], false));
    let mut store = store.reopened();
    let kept = store.history.cursors().expect("read");
    assert_eq!(kept.iter().map(|c| (c.index, c.at_ms, c.waiting)).collect::<Vec<_>>(), [(at[1], 9, 1)]);
    let (gone, changed) = store.cursor(&triage(), CursorChange::Remove);
    assert_eq!((gone.map(|c| c.index), changed), (Some(at[1]), true));
    assert_eq!(store.cursor(&triage(), CursorChange::Ack { index: at[2], at_ms: 9 }), (None, false));
    assert_eq!(store.cursor(&triage(), CursorChange::Remove), (None, false));
}

#[test]
fn cursors_are_bounded() {
    let mut store = Store::new();
    let open = CursorChange::Open { begin: 0, at_ms: 7 };
    let name = |number: u32| format!("c{number}").parse().expect("a name");
    for number in 0..chat_proto::limits::CURSORS_MAX {
        assert!(store.cursor(&name(number), open).1);
    }
    assert_eq!(store.cursor(&triage(), open), (None, false));
    assert!(store.cursor(&name(0), open).0.is_some(), "one that is there is no new one");
}

#[test]
fn the_message_before_a_gap_is_known() {
    let mut store = Store::new();
    let gap = |n| chatd::history::gap(at(n), 2, 6);
    let (rows, _) = store.receive(vec![gap(1), from_bob(2, 1, "a"), gap(3), gap(4)]);
    let mut before = |row: &Row| store.history.before(row.index).expect("read");
    assert_eq!(before(&rows[0]), None);
    assert_eq!(before(&rows[2]), Some(rows[1].id.clone()));
    assert_eq!(before(&rows[3]), Some(rows[1].id.clone()));
}

fn wanted(pattern: Pattern) -> Search {
    Search { pattern, peer: None, from: None, since_ms: None, after: 0, context: 0, page_bytes: usize::MAX }
}

fn words(text: &str) -> Search {
    wanted(Pattern::Words(text.into()))
}

fn regex(text: &str) -> Search {
    wanted(Pattern::Regex(regex::Regex::new(text).expect("a pattern")))
}

impl Store {
    /// The texts that a search finds, page after page.
    fn found(&mut self, mut search: Search) -> Vec<String> {
        let mut texts = Vec::new();
        loop {
            let (hits, next) = self.history.search(&search).expect("searched");
            texts.extend(hits.iter().map(|hit| String::from_utf8_lossy(&hit.row.body).into_owned()));
            match next {
                Some(next) => search.after = next,
                None => return texts,
            }
        }
    }
}

#[test]
fn searches_find_words_in_any_case_and_take_every_sign_as_data() {
    let mut store = Store::new();
    let texts = [
        "The Backup failed",
        "backups are fine",
        "d\u{e9}j\u{e0} vu",
        "say \"hi\" OR not",
        "91% :-)",
        "a-b*c",
        "\u{6f22}\u{5b57}\u{6587}",
    ];
    store.receive(texts.iter().zip(1..).map(|(text, n)| from_bob(n, n, text)).collect());
    store.queue("own backup", "k1");
    assert_eq!(store.found(words("backup")), ["The Backup failed", "backups are fine", "own backup"]);
    assert_eq!(store.found(words("FAILED back")), ["The Backup failed"]);
    assert_eq!(store.found(words("deja")), ["d\u{e9}j\u{e0} vu"]);
    assert_eq!(store.found(words("OR")), ["say \"hi\" OR not"], "no operator");
    assert_eq!(store.found(words("NOT fine")), [""; 0], "no operator");
    assert_eq!(store.found(words("91% :-)")), ["91% :-)"]);
    assert_eq!(store.found(words(":-)")), ["91% :-)"], "signs alone are looked for as they are");
    assert_eq!(store.found(words("*")), ["a-b*c"]);
    assert_eq!(store.found(words("\u{6f22}\u{5b57}")), ["\u{6f22}\u{5b57}\u{6587}"]);
    for odd in [
        "\"",
        "\"\"",
        "(",
        "a AND",
        "NEAR(a b, 2)",
        "text:backup",
        "^say",
        "-backup",
        "a+b",
        "'; DROP TABLE message",
        "{x}",
    ] {
        store.found(words(odd));
    }
    assert_eq!(store.found(regex("^b.*e$")), ["backups are fine"]);
    assert_eq!(store.found(regex("(?i)BACKUP$")), ["own backup"]);
    let only = |f: fn(&mut Search)| {
        let mut search = words("backup");
        f(&mut search);
        search
    };
    assert_eq!(store.found(only(|s| s.from = Some("alice".into()))), ["own backup"]);
    assert_eq!(store.found(only(|s| s.peer = Some("carol".into()))), [""; 0]);
    assert_eq!(store.found(only(|s| s.since_ms = Some(6))), ["The Backup failed", "backups are fine"]);
    // nothing was marked
    assert_eq!(store.history.counts().expect("read").unread, 7);
    assert_eq!(store.reopened().found(words("backup")).len(), 3);
}

#[test]
fn searches_come_in_pages_and_in_order() {
    let mut store = Store::new();
    let entries =
        |range: std::ops::RangeInclusive<u64>| range.map(|n| from_bob(n, n, &format!("number {n} of many"))).collect();
    store.receive(entries(1..=1200));
    let all: Vec<String> = (1..=1200).map(|n| format!("number {n} of many")).collect();
    assert_eq!(store.found(words("many")), all);
    assert_eq!(store.found(regex("number")), all);
    let mut small = words("many");
    small.page_bytes = 3000;
    let (page, next) = store.history.search(&small).expect("searched");
    assert!(page.len() < 10 && next == page.last().map(|hit| hit.row.index), "{}", page.len());
    assert_eq!(store.found(small), all);
}

#[test]
fn what_stands_around_is_shown_once_and_by_conversation() {
    let mut store = Store::new();
    let from_carol = |n: u64, cseq: u64, text: &str| Incoming {
        from: "carol".into(),
        device: Some(DeviceId([3; 16])),
        ..from_bob(n, cseq, text)
    };
    store.receive(vec![
        from_bob(1, 1, "b1"),
        from_carol(2, 1, "c1"),
        from_bob(3, 2, "b2 here"),
        from_carol(4, 2, "c2 here"),
        from_bob(5, 3, "b3"),
        from_bob(6, 4, "b4 here"),
        from_bob(7, 5, "b5"),
        from_bob(8, 6, "b6"),
        from_bob(9, 7, "b7"),
        from_bob(10, 8, "b8 here"),
    ]);
    let search = Search { context: 1, ..words("here") };
    let (hits, next) = store.history.search(&search).expect("searched");
    let shown: Vec<(String, bool)> =
        hits.iter().map(|hit| (String::from_utf8_lossy(&hit.row.body).into_owned(), hit.found)).collect();
    let expected = [
        ("b1", false),
        ("b2 here", true),
        ("b3", false),
        ("b4 here", true),
        ("b5", false),
        ("c1", false),
        ("c2 here", true),
        ("b7", false),
        ("b8 here", true),
    ];
    assert_eq!(shown, expected.map(|(text, found)| (text.to_owned(), found)));
    let mut groups: Vec<u64> = hits.iter().map(|hit| hit.group).collect();
    groups.dedup();
    assert_eq!((groups.len(), next), (3, None));
}

#[test]
fn an_older_history_is_indexed_when_it_is_opened() {
    let mut store = Store::new();
    store.receive(vec![from_bob(1, 1, "an old backup"), chatd::history::gap(at(2), 2, 6)]);
    let path = file(store.home.path());
    let Store { home, history } = store;
    drop(history);
    // as the build before the index left it
    let old = rusqlite::Connection::open(&path).expect("opened");
    old.execute_batch(
        "DROP TRIGGER message_search_new; DROP TRIGGER message_search_changed; DROP TRIGGER message_search_gone; DROP TABLE search; \
         DROP INDEX message_void; ALTER TABLE message DROP COLUMN void; ALTER TABLE message DROP COLUMN peer_read; \
         DROP INDEX stream_peer; ALTER TABLE stream DROP COLUMN peer; DROP TABLE transfer; \
         DELETE FROM refinery_schema_history WHERE version >= 5;",
    )
    .expect("set back");
    drop(old);
    let history = Sqlite::open(&path).expect("opened");
    let mut store = Store { home, history };
    assert_eq!(store.found(words("backup")), ["an old backup"]);
    store.receive(vec![from_bob(3, 2, "a new backup")]);
    assert_eq!(store.found(words("backup")), ["an old backup", "a new backup"]);
}

impl Store {
    fn cancel(&mut self, cseq: u64, unsent: bool) -> Vec<Row> {
        match self.write(Write::Cancel { place: Place { incarnation: INC, cseq }, unsent }) {
            Done::Changed(rows) => rows,
            other => panic!("{other:?}"),
        }
    }

    fn state(&mut self, row: &Row) -> (State, Option<Code>) {
        let row = self.history.row(row.index).expect("read").expect("there");
        (row.state, row.code)
    }

    /// Places that the machine gets back at a start: cseq and whether it is void.
    fn open_places(&mut self) -> Vec<(u64, bool)> {
        let restored = self.history.restore().expect("restored");
        restored.streams.iter().flat_map(|(_, _, open)| open).map(|entry| (entry.cseq, entry.void)).collect()
    }
}

#[test]
fn a_cancelled_message_has_failed_and_its_place_is_owed() {
    let mut store = Store::new();
    let rows: Vec<Row> = (1..=4).map(|n| store.queue(&format!("m{n}"), &format!("k{n}"))).collect();
    assert_eq!(store.cancel(1, true).len(), 1);
    assert_eq!(store.state(&rows[0]), (State::Failed, Some(Code::CANCELLED)));
    // the server may have these
    store.cancel(2, false);
    store.cancel(3, false);
    assert_eq!(store.state(&rows[1]), (State::Queued, Some(Code::CANCELLED)));
    let mut store = store.reopened();
    assert_eq!(store.open_places(), [(1, true), (2, true), (3, true), (4, false)]);
    assert_eq!(store.history.counts().expect("read").queued, 3);
    // the first is recorded, the second was given up in time, the third too late
    assert!(store.settle(1, Code::VOID, None).is_empty());
    assert_eq!(store.settle(2, Code::VOID, None)[0].code, Some(Code::CANCELLED));
    assert_eq!(store.settle(3, Code::ACCEPTED, Some(7))[0].code, None);
    assert_eq!(store.state(&rows[0]), (State::Failed, Some(Code::CANCELLED)));
    assert_eq!(store.state(&rows[1]), (State::Failed, Some(Code::CANCELLED)));
    assert_eq!(store.state(&rows[2]), (State::Accepted, None));
    assert_eq!(store.open_places(), [(4, false)]);
    // decided: nothing is given up any more
    assert!(store.cancel(3, false).is_empty());
    assert_eq!(store.state(&rows[2]), (State::Accepted, None));
    let again: Vec<bool> = store.history.forgotten(INC, 1, 3).expect("read").iter().map(|e| !e.void).collect();
    assert_eq!(again, [false, false, true], "what was given up is not offered again");
}

#[test]
fn transfers_are_kept_as_they_were_last_put() {
    let offered = Transfer {
        id: [7; 16],
        peer: "bob".into(),
        device: PeerDevice { device: BOBS, key: [3; 32] },
        dir: Direction::In,
        name: "../x\u{202e}".into(),
        size: 1 << 40,
        sha256: [9; 32],
        state: FileState::Offered,
        code: None,
        by_peer: false,
        told: false,
        path: None,
        changed_ns: 0,
        spot: None,
        at_ms: 5,
    };
    let sent = Transfer {
        id: [8; 16],
        dir: Direction::Out,
        path: Some("/home/a b/x".into()),
        changed_ns: i64::MAX - 1,
        state: FileState::Failed,
        code: Some(Code::FILE_DAMAGED),
        by_peer: true,
        told: true,
        ..offered.clone()
    };
    let spot = Spot { folder: "/home/in".into(), file: "x".into(), conflict: Conflict::Rename, hold: true };
    let taken = Transfer { state: FileState::Waiting, spot: Some(spot), ..offered.clone() };
    let mut store = Store::new();
    for transfer in [&offered, &sent, &taken] {
        store.write(Write::Files(vec![FileWrite::Put(Box::new(transfer.clone()))]));
    }
    let mut store = store.reopened();
    assert_eq!(store.history.restore().expect("read").files, [taken, sent.clone()], "in the order of their offers");
    store.write(Write::Files(vec![FileWrite::Forget([7; 16])]));
    assert_eq!(store.history.restore().expect("read").files, [sent]);
}
