//! What a stranger learns by trying, and how fast he may: S9 by statistics, S12.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use argon2::Params;
use chat_proto::fault::{Code, Fault};
use chat_proto::id::{AccountName, DeviceId, NameRule};
use chat_proto::limits;
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant};
use zeroize::Zeroizing;

use super::hasher::Hasher;
use super::{Accounts, Attempt, Proven, Rules, Settings};
use crate::clock::Clock;
use crate::config::{Addresses, Idle, LockoutBy, Registration};
use crate::gateway;
use crate::rate::Rate;
use crate::settings::{self, Live};
use crate::source::Source;
use crate::store::contract::Recorder;
use crate::store::sqlite::SqliteStore;
use crate::store::{self, NewDevice, Op, Policy, Store as _};

/// Samples of each kind; `CHAT_SAMPLES` says another number.
const SAMPLES: usize = 1000;
/// Standard deviations beyond which two times are not taken for equal: one in 100,000 equal ones would be.
const DIFFERENT: f64 = 4.5;

struct House {
    accounts: Accounts<SqliteStore>,
    store: Arc<SqliteStore>,
    _dir: TempDir,
}

impl House {
    async fn new(hasher: Hasher, lockout: Rules) -> House {
        let dir = TempDir::new().unwrap();
        let settings = store::Settings { reserve: 0, ..store::Settings::default() };
        let store = Arc::new(SqliteStore::open(dir.path(), Arc::new(Recorder::default()), settings, 0, 0).unwrap());
        let accounts = Settings {
            registration: Registration::Open,
            sign_up_at_login: false,
            names: NameRule::Standard,
            tell_names: false,
            forget_device: false,
            lock_devices: false,
            tries: Rate::per(limits::HASHES_PER_NAME_AND_MINUTE, 60),
            lockout_by: LockoutBy::Source,
            lockout,
            logins: Rate::per(0, 60),
            newcomers: Rate::per(0, 60),
        };
        let sessions = gateway::Settings {
            name: String::new(),
            policy: Policy::Many,
            idle: Idle::Away,
            idle_after: Duration::from_secs(60),
            grace_ms: 0,
            sending: Rate::per(0, 1),
            connections: 1,
            seen_since_start: false,
            private: true,
        };
        let live = Live::new(settings::Settings { sessions, accounts, announce: true, addresses: Addresses::Full });
        let accounts = Accounts::open(Arc::clone(&store), Clock::start(), live, hasher, Zeroizing::new([9; 32])).await;
        House { accounts, store, _dir: dir }
    }

    /// Accounts with one password, without hashing it for each.
    async fn people(&self, names: impl IntoIterator<Item = String>, phc: &str) {
        for (number, name) in names.into_iter().enumerate() {
            let name = AccountName::try_from(name).unwrap();
            let (answer, done) = oneshot::channel();
            let device = device(number as u32);
            self.store.submit(Op::CreateAccount { name, phc: phc.to_owned(), device, invite: None, answer }).await;
            done.await.unwrap().unwrap();
        }
    }

    async fn prove(&self, from: u32, name: &str, password: &str) -> Result<Proven, Fault> {
        let attempt = self.accounts.attempt(source(from), name, secret(password)).await?;
        self.accounts.prove(attempt).await
    }

    /// Without time passing: a stopped clock runs ahead while the store's own thread works, but not while a blocking task does.
    async fn prove_at_once(self: &Arc<Self>, attempt: Attempt) -> Result<Proven, Fault> {
        let house = Arc::clone(self);
        let proving = move || Handle::current().block_on(house.accounts.prove(attempt));
        tokio::task::spawn_blocking(proving).await.unwrap()
    }

    /// How long a wrong guess takes, in microseconds, and what it is told.
    async fn guess(&self, name: &str) -> (f64, Code) {
        let began = std::time::Instant::now();
        let refused = self.prove(1, name, "wrong").await;
        (began.elapsed().as_secs_f64() * 1e6, refused.err().unwrap().code)
    }
}

fn secret(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.to_owned())
}

fn source(n: u32) -> Source {
    Source::of(Ipv4Addr::from(n).into())
}

fn device(n: u32) -> NewDevice {
    let mut id = [0; 16];
    id[..4].copy_from_slice(&n.to_be_bytes());
    NewDevice { id: DeviceId(id), key: [1; 32], name: String::new() }
}

/// How sure it is that the times of two samples differ, by their ranks alone: a few that others of the machine disturbed weigh no more than
/// any others. The standard score of U (Mann and Whitney 1947, "On a test of whether one of two random variables is stochastically
/// larger than the other").
fn difference(known: &[f64], unknown: &[f64]) -> f64 {
    let mut all: Vec<_> =
        known.iter().map(|time| (*time, true)).chain(unknown.iter().map(|time| (*time, false))).collect();
    all.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    let ranks = (1..).zip(&all).filter(|(_, (_, is_known))| *is_known).map(|(rank, _)| f64::from(rank)).sum::<f64>();
    let (n, m) = (known.len() as f64, unknown.len() as f64);
    let u = ranks - n * (n + 1.0) / 2.0;
    (u - n * m / 2.0) / (n * m * (n + m + 1.0) / 12.0).sqrt()
}

/// The difference in the two states: a wrong guess (which locks), and a guess during the lock. Known and unknown names take turns, in
/// random order, so that whatever else the machine does falls on both alike.
async fn probe(hasher: Hasher, samples: usize) -> [f64; 2] {
    let phc = hasher.hash(source(1), secret("right")).await.ok().unwrap();
    let house = House::new(hasher, Rules { after: 1, duration_ms: 3_600_000, doubles: true }).await;
    house.people((0..samples).map(|n| format!("known-{n}")), &phc).await;
    // Caches and threads are warm before anything counts.
    for n in 0..20 {
        house.guess(&format!("neither-{n}")).await;
    }
    let mut times = [[Vec::new(), Vec::new()], [Vec::new(), Vec::new()]];
    for n in 0..samples {
        let first = usize::from(getrandom::u32().unwrap().is_multiple_of(2));
        for kind in [first, 1 - first] {
            let name = format!("{}-{n}", ["known", "other"][kind]);
            for state in &mut times {
                let (took, code) = house.guess(&name).await;
                assert_eq!(code, Code::LOCKED_OUT, "the same answer");
                state[kind].push(took);
            }
        }
    }
    times.map(|[known, unknown]| difference(&known, &unknown))
}

/// A tenth of the real memory and the same passes: whatever else differs weighs ten times as much.
fn params() -> Params {
    Params::new(1900, 2, 1, None).unwrap()
}

fn samples() -> usize {
    std::env::var("CHAT_SAMPLES").ok().and_then(|text| text.parse().ok()).unwrap_or(SAMPLES)
}

#[tokio::test]
async fn s09_a_login_does_not_tell_by_its_time_whether_a_name_exists() {
    let [wrong, locked] = probe(Hasher::with(Zeroizing::new([7; 32]), params()).unwrap(), samples()).await;
    assert!(wrong.abs() < DIFFERENT, "a wrong password: {wrong:.2} standard deviations");
    assert!(locked.abs() < DIFFERENT, "during a lock: {locked:.2} standard deviations");
}

/// The same measurement finds leaks: no hash at all for unknown names, and one of half the cost.
#[tokio::test]
async fn s09_a_planted_leak_is_found() {
    for passes in [None, Some(1)] {
        let dummy = passes.map(|passes| Params::new(1900, passes, 1, None).unwrap());
        let hasher = Hasher::with(Zeroizing::new([7; 32]), params()).unwrap().leaking(dummy);
        let [wrong, _] = probe(hasher, 600).await;
        assert!(wrong.abs() > DIFFERENT, "{passes:?} passes: {wrong:.2} standard deviations");
    }
}

/// From a hundred sources: twenty a minute reach the hash, the rest waits and is not refused; a key of the same account is
/// not touched at all.
#[tokio::test(start_paused = true)]
async fn s12_guesses_at_one_name_from_everywhere_wait_for_each_other() {
    let hasher = Hasher::cheap(Zeroizing::new([7; 32])).unwrap();
    let phc = hasher.hash(source(1), secret("right")).await.ok().unwrap();
    let house = House::new(hasher, Rules { after: 3, duration_ms: 60_000, doubles: true }).await;
    house.people(["victim".to_owned()], &phc).await;
    let began = Instant::now();
    for n in 0..100 {
        let refused = house.prove(n, "victim", "wrong").await.err().unwrap();
        assert_eq!(refused.code, Code::WRONG_CREDENTIALS, "no source guessed three times");
        let due = Duration::from_secs(3 * u64::from(n.saturating_sub(19)));
        assert!(began.elapsed() + Duration::from_millis(50) >= due, "guess {n} after {:?}", began.elapsed());
        assert!(began.elapsed() <= due + Duration::from_secs(1), "guess {n} after {:?}", began.elapsed());
    }
    let before = Instant::now();
    house.accounts.device(source(1), "victim", device(0).id, |key| *key == [1; 32]).await.unwrap();
    assert_eq!(before.elapsed(), Duration::ZERO, "a device with its key does not wait");
    house.prove(500, "VICTIM", "right").await.ok().unwrap();
}

/// A hundred sources that guess at one name again and again, locks or not: its owner, who knows the password, waits for
/// two tries at most.
#[tokio::test(start_paused = true)]
async fn s12_a_crowd_that_guesses_does_not_keep_the_owner_out() {
    const CROWD: u32 = 100;
    let hasher = Hasher::cheap(Zeroizing::new([7; 32])).unwrap();
    let phc = hasher.hash(source(1), secret("right")).await.ok().unwrap();
    let house = Arc::new(House::new(hasher, Rules { after: 3, duration_ms: 60_000, doubles: true }).await);
    house.people(["victim".to_owned()], &phc).await;
    let mut crowd = JoinSet::new();
    let (tries, guessers) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    for n in 1..=CROWD {
        let (house, tries, guessers) = (Arc::clone(&house), Arc::clone(&tries), Arc::clone(&guessers));
        crowd.spawn(async move {
            for guess in 0.. {
                let refused = match house.accounts.attempt(source(n), "victim", secret("wrong")).await {
                    Ok(attempt) => {
                        tries.fetch_add(1, Ordering::Relaxed);
                        house.prove_at_once(attempt).await.err().unwrap()
                    }
                    Err(refused) => refused,
                };
                assert!(matches!(refused.code, Code::WRONG_CREDENTIALS | Code::LOCKED_OUT), "{refused:?}");
                guessers.fetch_add(u32::from(guess == 0), Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(refused.retry_after_ms.unwrap_or_default())).await;
            }
        });
    }
    let so_far = || tries.load(Ordering::Relaxed);
    let mut most = 0;
    for n in 0..20 {
        // Each of them was wrong once, and in the end more often.
        while guessers.load(Ordering::Relaxed) < CROWD || so_far() < CROWD + n * CROWD / 4 {
            assert!(crowd.try_join_next().is_none(), "they guess on");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let (began, before) = (Instant::now(), so_far());
        let owner = house.accounts.attempt(source(CROWD + 1), "victim", secret("right")).await.ok().unwrap();
        let (others, waited) = (so_far() - before, began.elapsed());
        assert!(others <= 2 && waited <= Duration::from_secs(7), "{others} others, {waited:?} at the {n}th time");
        most = most.max(others);
        house.prove_at_once(owner).await.ok().unwrap();
    }
    assert!(most > 0, "there was a crowd to wait for");
}

/// Who leaves the queue holds nobody up.
#[tokio::test(start_paused = true)]
async fn s12_who_leaves_the_queue_holds_nobody_up() {
    let hasher = Hasher::cheap(Zeroizing::new([7; 32])).unwrap();
    let phc = hasher.hash(source(1), secret("right")).await.ok().unwrap();
    let house = Arc::new(House::new(hasher, Rules { after: 0, duration_ms: 60_000, doubles: true }).await);
    house.people(["victim".to_owned()], &phc).await;
    for _ in 0..limits::HASHES_PER_NAME_AND_MINUTE {
        assert_eq!(house.prove(1, "victim", "wrong").await.err().unwrap().code, Code::WRONG_CREDENTIALS);
    }
    let mut leaving = JoinSet::new();
    for n in 2..60 {
        let house = Arc::clone(&house);
        leaving.spawn(async move { drop(house.prove(n, "victim", "wrong").await) });
    }
    tokio::task::yield_now().await;
    leaving.shutdown().await;
    let began = Instant::now();
    house.prove(100, "victim", "right").await.ok().unwrap();
    assert!(began.elapsed() <= Duration::from_secs(4), "{:?}", began.elapsed());
}
