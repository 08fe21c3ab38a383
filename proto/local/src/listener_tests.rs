//! Tests of the listening and the dialling side together, on real sockets in a directory of their own.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Barrier;
use std::thread;

use tokio::time::{Instant, timeout, timeout_at};

use super::*;
use crate::client::{DialError, connect};
use crate::directory::Rule;

/// Another user; the tests that need one run as root only.
const STRANGER: u32 = 65534;

struct Home {
    dir: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a directory to play in") }
    }

    fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    fn run(&self) -> PathBuf {
        self.state().join("run")
    }

    fn socket(&self) -> PathBuf {
        self.run().join("sock")
    }

    fn bind(&self) -> Result<Listener, BindError> {
        bind(&self.socket(), &self.state())
    }

    /// Makes the directories, so that something can lie in the socket's place.
    fn prepared() -> Self {
        let home = Self::new();
        crate::directory::Directory::create(&home.run()).expect("made");
        home
    }

    async fn connect(&self) -> Result<Connection, DialError> {
        connect(&self.socket(), soon()).await
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Runs as another user, on a thread of its own: the uid is the thread's.
fn as_stranger<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = thread::spawn(|| {
        let uid = rustix::process::Uid::from_raw(STRANGER);
        rustix::thread::set_thread_res_uid(uid, uid, uid).expect("root may become anyone");
        act()
    });
    thread.join().expect("no panic")
}

#[tokio::test]
async fn both_sides_talk_and_everything_is_private() {
    let home = Home::new();
    let listener = home.bind().expect("bound");
    let mode = |path: &Path| fs::symlink_metadata(path).expect("there").mode() & 0o7777;
    assert_eq!((mode(&home.state()), mode(&home.run()), mode(&home.socket())), (0o700, 0o700, 0o600));
    assert_eq!(mode(&home.state().join(crate::lock::FILE)), 0o600);
    let (ours, theirs) = tokio::join!(home.connect(), listener.accept());
    let (mut ours, mut theirs) = (ours.expect("connected"), theirs.expect("accepted"));
    ours.send("hello").await.expect("sent");
    assert_eq!(theirs.recv::<String>().await.expect("received").as_deref(), Some("hello"));
    drop(listener);
    assert!(!home.socket().exists(), "the name goes with the listener");
    assert!(matches!(home.connect().await, Err(DialError::NotRunning)));
}

/// A watcher that sees the name appear never sees it open to others, whatever the umask says.
#[tokio::test]
async fn the_mode_is_right_from_the_first_moment() {
    let home = Home::prepared();
    let (path, stop) = (home.socket(), Arc::new(std::sync::atomic::AtomicBool::new(false)));
    let seen = thread::spawn({
        let stop = stop.clone();
        move || {
            let mut modes = std::collections::BTreeSet::new();
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                modes.extend(fs::symlink_metadata(&path).ok().map(|found| found.mode() & 0o7777));
            }
            modes
        }
    });
    for _ in 0..200 {
        drop(home.bind().expect("bound"));
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let modes = seen.join().expect("no panic");
    assert!(modes.iter().all(|mode| *mode == 0o600), "{modes:?}");
}

#[test]
fn of_two_daemons_exactly_one_lives_in_a_thousand_races() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let home = Home::prepared();
    let start = Barrier::new(2);
    for race in 0..1000 {
        // A dead socket lies in the way, so that the race is also for removing it.
        drop(UnixListener::bind(home.socket()).expect("a socket that dies at once"));
        let daemon = || {
            let _inside = runtime.enter();
            start.wait();
            home.bind()
        };
        let (one, two) = thread::scope(|scope| {
            let other = scope.spawn(daemon);
            (daemon(), other.join().expect("no panic"))
        });
        let (alive, dead) = if one.is_ok() { (one, two) } else { (two, one) };
        assert!(matches!(dead, Err(BindError::AlreadyRunning { .. })), "race {race}: {dead:?}");
        let alive = alive.unwrap_or_else(|error| panic!("race {race}: nobody lives: {error}"));
        UnixStream::connect(home.socket()).expect("the living one listens");
        drop(alive);
    }
}

#[tokio::test]
async fn what_is_no_dead_socket_of_ours_is_not_removed() {
    let occupied = |home: &Home| match home.bind() {
        Err(BindError::Occupied { by, .. }) => by,
        other => panic!("{other:?}"),
    };
    let home = Home::prepared();
    fs::write(home.socket(), "dear").expect("a file");
    assert_eq!(occupied(&home), "a regular file");
    assert_eq!(fs::read_to_string(home.socket()).expect("still there"), "dear");
    fs::remove_file(home.socket()).expect("removed");
    std::os::unix::fs::symlink("/nowhere", home.socket()).expect("a link");
    assert_eq!(occupied(&home), "a symbolic link");
    fs::remove_file(home.socket()).expect("removed");
    rustix::fs::mkfifoat(rustix::fs::CWD, home.socket(), rustix::fs::Mode::RUSR).expect("a FIFO");
    assert_eq!(occupied(&home), "a FIFO");
    fs::remove_file(home.socket()).expect("removed");
    fs::create_dir(home.socket()).expect("a directory");
    assert_eq!(occupied(&home), "a directory");
    fs::remove_dir(home.socket()).expect("removed");
    let _living = UnixListener::bind(home.socket()).expect("someone without our lock");
    assert!(occupied(&home).contains("lock"));
    UnixStream::connect(home.socket()).expect("he still lives");
}

#[test]
fn a_dead_socket_is_swept_and_a_living_one_is_not() {
    let home = Home::prepared();
    let lock = Lock::take(&home.state()).expect("nobody else has it");
    lock.sweep(&home.socket()).expect("nothing there");
    drop(UnixListener::bind(home.socket()).expect("a dead socket"));
    lock.sweep(&home.socket()).expect("swept");
    assert!(!home.socket().exists());
    let living = UnixListener::bind(home.socket()).expect("the service manager, say");
    assert!(matches!(lock.sweep(&home.socket()), Err(BindError::Occupied { .. })));
    drop(UnixStream::connect(home.socket()).expect("it still lives"));
    drop(living);
}

#[tokio::test]
async fn squatted_sockets_and_directories_are_refused_by_both_sides() {
    if !is_root() {
        return;
    }
    let home = Home::prepared();
    drop(UnixListener::bind(home.socket()).expect("a dead socket"));
    chown(home.socket(), Some(STRANGER), None).expect("given away");
    assert!(matches!(home.bind(), Err(BindError::ForeignSocket { owner: STRANGER, .. })));
    assert!(matches!(home.connect().await, Err(DialError::ForeignOwner { uid: Some(STRANGER) })));
    chown(home.run(), Some(STRANGER), None).expect("given away");
    let error = home.bind().expect_err("foreign directory");
    assert!(
        matches!(&error, BindError::BadDirectory(broken) if broken.rule == Rule::Owner && broken.owner == STRANGER)
    );
    assert!(matches!(home.connect().await, Err(DialError::BadDirectory(broken)) if broken.rule == Rule::Owner));
}

#[tokio::test]
async fn open_rights_on_the_directory_are_refused_by_both_sides() {
    let home = Home::prepared();
    set_mode(&home.run(), 0o711);
    assert!(matches!(home.bind(), Err(BindError::BadDirectory(broken)) if broken.rule == Rule::Private));
    assert!(matches!(home.connect().await, Err(DialError::BadDirectory(broken)) if broken.mode == 0o711));
    set_mode(&home.run(), 0o700);
    set_mode(&home.state(), 0o750);
    assert!(matches!(home.bind(), Err(BindError::BadDirectory(broken)) if broken.path == home.state()));
}

#[tokio::test]
async fn another_user_is_closed_without_a_byte_and_the_next_is_served() {
    if !is_root() {
        return;
    }
    let home = Home::new();
    let listener = home.bind().expect("bound");
    // Everything that should keep the stranger out is opened, so that the peer's uid alone must do.
    for (path, mode) in
        [(home.dir.path().to_owned(), 0o755), (home.state(), 0o755), (home.run(), 0o755), (home.socket(), 0o666)]
    {
        set_mode(&path, mode);
    }
    let path = home.socket();
    let mut stranger = as_stranger(move || UnixStream::connect(path)).expect("connected");
    set_mode(&home.run(), 0o700);
    let (ours, theirs) = tokio::join!(home.connect(), listener.accept());
    let (mut ours, mut theirs) = (ours.expect("connected"), theirs.expect("accepted"));
    ours.send(&1).await.expect("sent");
    let received = timeout_at(soon(), theirs.recv::<u8>()).await;
    let received = received.expect("the one let in is not the stranger");
    assert_eq!(received.expect("received"), Some(1));
    let read = std::io::Read::read(&mut stranger, &mut [0; 8]);
    assert_eq!(read.expect("closed"), 0);
}

#[tokio::test]
async fn a_false_daemon_gets_no_byte() {
    if !is_root() {
        return;
    }
    let home = Home::prepared();
    for (path, mode) in [(home.dir.path().to_owned(), 0o755), (home.state(), 0o755), (home.run(), 0o777)] {
        set_mode(&path, mode);
    }
    let path = home.socket();
    let false_daemon = as_stranger(move || UnixListener::bind(path)).expect("squatted");
    // As if directory and name were ours: only the listening process is not.
    chown(home.socket(), Some(0), None).expect("taken back");
    set_mode(&home.run(), 0o700);
    assert!(matches!(home.connect().await, Err(DialError::ForeignOwner { uid: Some(STRANGER) })));
    let (mut taken, _) = false_daemon.accept().expect("connected for a moment");
    assert_eq!(std::io::Read::read(&mut taken, &mut [0; 8]).expect("closed"), 0);
}

#[tokio::test]
async fn long_paths_are_refused_by_both_sides() {
    let home = Home::new();
    let path = home.run().join("x".repeat(200));
    assert!(matches!(bind(&path, &home.state()), Err(BindError::BadPath(_))));
    assert!(matches!(connect(&path, soon()).await, Err(DialError::BadPath(_))));
    assert!(!home.state().exists(), "refused before anything is made");
}

#[tokio::test]
async fn seats_are_limited_and_free_again() {
    let home = Home::new();
    let listener = home.bind().expect("bound");
    let mut taken = Vec::new();
    for _ in 0..limits::CONTROL_CONNECTIONS {
        let (ours, theirs) = tokio::join!(home.connect(), listener.accept());
        taken.push((ours.expect("connected"), theirs.expect("accepted").split()));
    }
    let waiting = home.connect().await.expect("in the backlog");
    let mut next = std::pin::pin!(listener.accept());
    assert!(timeout(Duration::ZERO, &mut next).await.is_err(), "no seat is free");
    let (_ours, (reader, writer)) = taken.pop().expect("many");
    drop(reader);
    assert!(timeout(Duration::ZERO, &mut next).await.is_err(), "half a connection holds its seat");
    drop(writer);
    next.await.expect("accepted");
    drop(waiting);
}

#[tokio::test]
async fn a_socket_of_the_service_manager_is_adopted_and_its_name_stays() {
    let home = Home::prepared();
    let made = UnixListener::bind(home.socket()).expect("the manager's");
    let listener = Lock::take(&home.state()).expect("free").adopt(made.into()).expect("adopted");
    let (ours, theirs) = tokio::join!(home.connect(), listener.accept());
    ours.expect("connected");
    theirs.expect("accepted");
    assert!(matches!(home.bind(), Err(BindError::AlreadyRunning { .. })));
    drop(listener);
    assert!(home.socket().exists());
    let file = fs::File::open("/dev/null").expect("no socket");
    let refused = Lock::take(&home.state()).expect("free").adopt(file.into());
    assert!(matches!(refused, Err(BindError::NotListening)));
}

#[tokio::test(start_paused = true)]
async fn a_full_backlog_is_not_taken_for_absence() {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};
    let home = Home::prepared();
    let never_accepts = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None).expect("a socket");
    let address = SocketAddrUnix::new(home.socket()).expect("short");
    rustix::net::bind(&never_accepts, &address).expect("bound");
    rustix::net::listen(&never_accepts, 0).expect("listening");
    let _first = home.connect().await.expect("in the backlog");
    let start = Instant::now();
    assert!(matches!(home.connect().await, Err(DialError::TimedOut)));
    assert!(start.elapsed() >= Duration::from_secs(10), "tried until the deadline");
    assert!(matches!(home.bind(), Err(BindError::Occupied { .. })), "a busy one is not a dead one");
}
