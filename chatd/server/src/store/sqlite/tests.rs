//! The contract tests of the store seam on SQLite, and what only this store has.

use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::Connection;
use tempfile::TempDir;

use super::{SqliteStore, schema};
use crate::store::contract::{self, Place, Recorder};
use crate::store::{Op, Outlet, Settings, Store, StoreError};

struct Dir(TempDir);

impl Dir {
    fn new() -> Dir {
        Dir(TempDir::new().unwrap())
    }

    fn saved(&self) -> PathBuf {
        self.0.path().join("saved")
    }

    fn count(&self, sql: &str) -> u64 {
        let conn = Connection::open(schema::file(self.0.path())).unwrap();
        conn.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap() as u64
    }
}

impl Place for Dir {
    type Kept = SqliteStore;

    async fn open(&self, outlet: Arc<dyn Outlet>, settings: Settings, mono_ms: u64, now_ms: i64) -> SqliteStore {
        loop {
            match SqliteStore::open(self.0.path(), Arc::clone(&outlet), settings.clone(), mono_ms, now_ms) {
                Ok(store) => return store,
                // The threads of the store before are still ending.
                Err(StoreError::Locked(_)) => std::thread::yield_now(),
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn kept(&self) -> u64 {
        self.count("SELECT (SELECT count(*) FROM log) + (SELECT count(*) FROM pend) + (SELECT count(*) FROM refs)")
    }

    fn save(&self) {
        std::fs::copy(schema::file(self.0.path()), self.saved()).unwrap();
    }

    fn set_back(&self) {
        let file = schema::file(self.0.path());
        assert_eq!(
            std::fs::metadata(file.with_extension("db-wal")).map_or(0, |m| m.len()),
            0,
            "closed and checkpointed"
        );
        std::fs::copy(self.saved(), file).unwrap();
    }
}

macro_rules! contract {
    ($($name:ident)+) => {
        $(#[tokio::test]
        async fn $name() {
            contract::$name(Dir::new()).await;
        })+
    };
}

contract! {
    a_verdict_stands
    places_are_decided_in_order
    refusals_are_recorded
    the_quota_counts_what_waits
    s22_one_sender_fills_its_share_only
    s22_a_crowd_of_strangers_leaves_room_for_contacts
    s22_room_comes_back_as_entries_are_seen
    pages_straddle_the_fold
    own_messages_reach_the_other_devices
    an_old_session_is_fenced
    nonsense_ends_the_session
    accounts_and_devices
    passwords_and_keys
    a_revoked_device_is_none
    a_revoked_device_holds_nothing_back
    invitations
    invitations_age_by_running_time
    one_use_is_one_account
    policies
    a_silent_session_makes_way_and_no_other
    an_account_without_a_device
    a_deleted_account_is_gone
    a_locked_account
    a_logout_forgets_the_key
    marks_wait_for_other_devices
    two_living_copies
    presence_is_per_account
    a_restart_is_not_news
    who_else
    own_places_are_traced
    receipts_and_marks
    blocks
    failure_counters
    rows_go_with_the_last_acknowledgement
    a_lost_acknowledgement_is_in_the_hello
    a_new_device_starts_at_the_highest_cursor
    a_device_away_too_long_is_told
    a_live_device_is_not_away
    retention_tells_the_sender
    retention_is_told_to_those_who_are_there
    old_copies_are_noticed
    a_store_set_back
    a_crash_makes_no_old_copy
    a_cursor_from_nowhere_is_not_believed
    consent
    refusals
    requests_end
    a_restart_forgets_requests
}

#[tokio::test]
async fn agrees_with_the_model() {
    for seed in 0..12 {
        contract::agrees_with_the_model(Dir::new(), seed, 150).await;
    }
}

fn open(dir: &Dir) -> Result<SqliteStore, StoreError> {
    SqliteStore::open(dir.0.path(), Arc::new(Recorder::default()), Settings::default(), 0, 0)
}

#[tokio::test]
async fn one_process_holds_the_store() {
    let dir = Dir::new();
    let store = open(&dir).unwrap();
    assert!(matches!(open(&dir), Err(StoreError::Locked(_))));
    assert!(store.epochs().0.len() == 1);
    let before = store.progress();
    let (done, wait) = tokio::sync::oneshot::channel();
    store.submit(Op::Tick { mono_ms: 1, now_ms: 1 }).await;
    store.submit(Op::Shutdown(done)).await;
    wait.await.unwrap();
    assert!(store.progress() > before);
}

#[tokio::test]
async fn a_start_that_accepts_nothing_leaves_no_epoch() {
    let dir = Dir::new();
    for _ in 0..3 {
        drop(dir.open(Arc::new(Recorder::default()), Settings::default(), 0, 0).await);
    }
    assert_eq!(dir.open(Arc::new(Recorder::default()), Settings::default(), 0, 0).await.epochs().0.len(), 1);
    assert_eq!(dir.count("SELECT epoch FROM epoch"), 4, "but no number is given twice");
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let dir = Dir::new();
    drop(dir.open(Arc::new(Recorder::default()), Settings::default(), 0, 0).await);
    let conn = Connection::open(schema::file(dir.0.path())).unwrap();
    conn.pragma_update(None, "user_version", schema::VERSION + 1).unwrap();
    drop(conn);
    assert!(matches!(refused(&dir), StoreError::Newer { .. }));
}

#[tokio::test]
async fn damage_is_found_after_a_storage_error() {
    let dir = Dir::new();
    let again = async || drop(dir.open(Arc::new(Recorder::default()), Settings::default(), 0, 0).await);
    again().await;
    let marker = dir.0.path().join("storage-failed");
    super::start::mark_failed(dir.0.path());
    again().await;
    assert!(!marker.exists(), "looked at once, and found well");
    let (mut page, mut size) = (0, 0);
    released(&dir, || {
        page = dir.count("SELECT rootpage FROM sqlite_master WHERE name = 'invite'");
        size = dir.count("PRAGMA page_size");
        let file = std::fs::OpenOptions::new().write(true).open(schema::file(dir.0.path())).unwrap();
        file.write_all_at(&vec![0xaa; size as usize], (page - 1) * size).unwrap();
    });
    again().await;
    super::start::mark_failed(dir.0.path());
    assert!(matches!(refused(&dir), StoreError::Damaged(_)), "a page that no start reads");
    assert!(marker.exists(), "the next start looks again");
}

/// Does something to the files once the threads of the store before have ended.
fn released(dir: &Dir, act: impl FnOnce()) {
    let lock = std::fs::File::open(dir.0.path().join("lock")).unwrap();
    lock.lock().unwrap();
    act();
}

/// Why the store is not opened.
fn refused(dir: &Dir) -> StoreError {
    loop {
        match open(dir) {
            Err(StoreError::Locked(_)) => std::thread::yield_now(),
            Err(error) => return error,
            Ok(_) => panic!("it was opened"),
        }
    }
}

#[tokio::test]
async fn a_welcome_fits_into_a_frame_after_any_number_of_starts() {
    use prost::Message as _;
    let dir = Dir::new();
    drop(dir.open(Arc::new(Recorder::default()), Settings::default(), 0, 0).await);
    let conn = Connection::open(schema::file(dir.0.path())).unwrap();
    let rows = "WITH RECURSIVE t(x) AS (SELECT 2 UNION ALL SELECT x + 1 FROM t WHERE x < 9999)";
    conn.execute_batch(&format!(
        "{rows} INSERT INTO epoch SELECT x, random(), 1000 * x FROM t; INSERT OR REPLACE INTO meta VALUES('folded', 10000000)"
    ))
    .unwrap();
    drop(conn);
    let mut town = contract::Town::new(dir, Settings::default()).await;
    let mut alice = town.arrive("alice", 1).await;
    let welcome = town.open(&mut alice, None).await.welcome;
    assert!(welcome.encoded_len() < chat_proto::limits::FRAME_MAX, "{} bytes", welcome.encoded_len());
    let newest = welcome.epochs.last().map(|e| e.first);
    assert_eq!(newest, Some(10_000_001), "the newest ones are told");
}
