//! Two desks that talk to each other over a connection that can be cut anywhere, with real files and jobs on both sides.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use chat_proto::id::DeviceId;
use chat_proto::limits::{FILE_OFFERS_AT_ONCE, FILE_OFFERS_OF_PEER, FILES_AT_ONCE};
use chat_proto::method::peer as method;
use chat_proto::peer::{FileAccept, FileBytes, FileEnd, FileOffer};
use prost::Message;
use tokio::io::{AsyncRead, AsyncReadExt as _, DuplexStream, ReadBuf};
use tokio::sync::mpsc;

use super::super::job::{self, Outcome};
use super::super::source;
use super::work::AGAIN_AFTER_MS;
use super::*;
use crate::history::PeerDevice;
use crate::runner::Opener;

const SESSION: SessionId = [5; 16];
const ALICE: usize = 0;
const BOB: usize = 1;
const NAMES: [&str; 2] = ["alice", "bob"];

/// A stream that breaks behind so many bytes, or at its end where its sender broke it off.
struct Breaking {
    inner: DuplexStream,
    left: usize,
    broken: Arc<AtomicBool>,
}

impl AsyncRead for Breaking {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.left == 0 {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let room = buf.remaining().min(self.left);
        let mut piece = vec![0; room];
        let mut part = ReadBuf::new(&mut piece);
        match Pin::new(&mut self.inner).poll_read(cx, &mut part) {
            Poll::Ready(Ok(())) if part.filled().is_empty() && self.broken.load(Ordering::Acquire) => {
                Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
            }
            Poll::Ready(Ok(())) => {
                self.left -= part.filled().len();
                buf.put_slice(part.filled());
                Poll::Ready(Ok(()))
            }
            other => other,
        }
    }
}

type Ended = (Job, Outcome);
type Stream = (usize, FileBytes, Breaking);

struct Side {
    desk: Desk,
    kept: BTreeMap<usize, Transfer>,
    news: mpsc::UnboundedSender<Ended>,
    ended: mpsc::UnboundedReceiver<Ended>,
    /// What followers were told: offers, then how transfers went.
    offers: Vec<File>,
    told: Vec<File>,
    writes: usize,
}

impl Side {
    fn new(setup: &Setup, kept: BTreeMap<usize, Transfer>) -> Side {
        let (news, ended) = mpsc::unbounded_channel();
        let desk = Desk::new(setup.clone(), kept.values().cloned().collect());
        Side { desk, kept, news, ended, offers: Vec::new(), told: Vec::new(), writes: 0 }
    }

    fn keep(&mut self, write: FileWrite) {
        self.writes += 1;
        match write {
            FileWrite::Put(transfer) => {
                let place = self.kept.iter().find(|(_, old)| old.id == transfer.id).map(|(place, _)| *place);
                let next = self.kept.keys().last().map_or(0, |last| last + 1);
                self.kept.insert(place.unwrap_or(next), *transfer);
            }
            FileWrite::Forget(id) => self.kept.retain(|_, old| old.id != id),
        }
    }
}

struct World {
    home: tempfile::TempDir,
    setups: [Setup; 2],
    sides: [Side; 2],
    /// Jobs that have not ended, of each.
    jobs: [usize; 2],
    /// Frames on their way to each.
    frames: [VecDeque<Frame>; 2],
    /// Writes of each that come back at the end of a turn.
    commits: [Vec<([u8; 16], bool)>; 2],
    /// Streams on their way to each; nothing of one that was broken off before its head came.
    streams: mpsc::UnboundedReceiver<Option<Stream>>,
    opened: mpsc::UnboundedSender<Option<Stream>>,
    /// Streams that were opened and have not come yet.
    coming: usize,
    up: bool,
    /// The disk of its history takes nothing.
    full: [bool; 2],
    /// The server keeps the case of names.
    classic: bool,
    /// Who each is.
    devices: [PeerDevice; 2],
    now: Now,
    /// The next streams break behind so many bytes of a file.
    break_after: usize,
}

impl World {
    fn new() -> World {
        let home = tempfile::tempdir().expect("a directory");
        let setups = NAMES.map(|name| Setup {
            folder: home.path().join(name),
            held: home.path().join(format!("{name}-held")),
            auto_accept: Vec::new(),
            max_size: 1 << 30,
        });
        let (opened, streams) = mpsc::unbounded_channel();
        let sides = [Side::new(&setups[0], BTreeMap::new()), Side::new(&setups[1], BTreeMap::new())];
        let mut world = World {
            home,
            setups,
            sides,
            jobs: [0; 2],
            frames: Default::default(),
            commits: Default::default(),
            streams,
            opened,
            coming: 0,
            up: false,
            full: [false; 2],
            classic: false,
            devices: [ALICE, BOB].map(device),
            now: Now { wall_ms: 1, mono_ms: 1 },
            break_after: usize::MAX,
        };
        world.connect();
        world
    }

    fn connect(&mut self) {
        self.up = true;
        for side in [ALICE, BOB] {
            self.sides[side].desk.up(SESSION, NAMES[1 - side], self.devices[1 - side], self.classic, self.now);
        }
    }

    /// What is on the way is lost.
    fn cut(&mut self) {
        self.up = false;
        self.frames = Default::default();
        for side in [ALICE, BOB] {
            self.sides[side].desk.down(SESSION);
        }
    }

    fn tick(&mut self) {
        self.sides.iter_mut().for_each(|side| side.desk.tick(self.now.mono_ms));
    }

    /// As after a kill: only what was written down is there.
    fn restart(&mut self, side: usize) {
        let old = std::mem::replace(&mut self.sides[side], Side::new(&self.setups[side], BTreeMap::new()));
        self.jobs[side] = 0;
        self.commits[side].clear();
        self.sides[side] = Side { offers: old.offers, told: old.told, ..Side::new(&self.setups[side], old.kept) };
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.home.path().join(name);
        fs::write(&path, bytes).expect("written");
        path
    }

    fn offer(&mut self, name: &str, bytes: &[u8]) -> Result<File, Refusal> {
        let path = self.write(name, bytes);
        self.offer_at(path)
    }

    fn offer_at(&mut self, path: PathBuf) -> Result<File, Refusal> {
        let file = source::offer(&path, &Opener::default(), &Flag::at(0)).expect("a file");
        let mut id = [0; 16];
        getrandom::fill(&mut id).expect("random");
        self.sides[ALICE].desk.offer("bob", path, file, id, self.now)
    }

    /// Does what both decided until nothing is left to do.
    async fn run(&mut self) {
        loop {
            let mut busy = false;
            for side in [ALICE, BOB] {
                while let Some(one) = self.sides[side].desk.poll() {
                    busy = true;
                    self.act(side, one);
                }
                for (id, is_kept) in std::mem::take(&mut self.commits[side]) {
                    busy = true;
                    self.sides[side].desk.kept(&[id], is_kept, self.now.mono_ms);
                }
                while let Some(frame) = self.frames[side].pop_front() {
                    busy = true;
                    self.sides[side].desk.frame(SESSION, &frame, self.now).expect("well formed");
                }
            }
            if busy {
                continue;
            }
            if self.jobs == [0; 2] && self.coming == 0 {
                return;
            }
            let [alice, bob] = &mut self.sides;
            tokio::select! {
                biased;
                Some(stream) = self.streams.recv() => {
                    self.coming -= 1;
                    let Some((side, head, stream)) = stream else { continue };
                    if !self.up {
                        continue;
                    }
                    if let Some(arriving) = self.sides[side].desk.bytes(SESSION, &head) {
                        self.jobs[side] += 1;
                        let news = self.sides[side].news.clone();
                        tokio::spawn(async move {
                            let outcome = job::receive(stream, arriving.part, arriving.sha256, arriving.flag).await;
                            let _ = news.send((arriving.job, outcome));
                        });
                    }
                }
                Some((job, outcome)) = alice.ended.recv(), if self.jobs[ALICE] > 0 => {
                    self.jobs[ALICE] -= 1;
                    alice.desk.job_ended(job, outcome, self.now.mono_ms);
                }
                Some((job, outcome)) = bob.ended.recv(), if self.jobs[BOB] > 0 => {
                    self.jobs[BOB] -= 1;
                    bob.desk.job_ended(job, outcome, self.now.mono_ms);
                }
                else => return,
            }
        }
    }

    fn act(&mut self, side: usize, one: Do) {
        match one {
            Do::Say(_, frame) if self.up => self.frames[1 - side].push_back(frame),
            Do::Say(..) => {}
            Do::Keep(write) => {
                let (id, is_kept) = (write.id(), !self.full[side]);
                if is_kept {
                    self.sides[side].keep(write);
                }
                self.commits[side].push((id, is_kept));
            }
            Do::TellOffer(file) => self.sides[side].offers.push(file),
            Do::Tell(file) => self.sides[side].told.push(file),
            Do::Open(job, wanted, flag) => {
                self.jobs[side] += 1;
                let news = self.sides[side].news.clone();
                tokio::spawn(async move {
                    let _ = news.send((job, job::open(wanted, flag).await));
                });
            }
            Do::Send(_, job, sending, flag) => {
                self.jobs[side] += 1;
                let (news, opened) = (self.sides[side].news.clone(), self.opened.clone());
                self.coming += 1;
                let (mut near, mut far) = tokio::io::duplex(1 << 16);
                let broken = Arc::new(AtomicBool::new(false));
                let (left, breaks) = (self.break_after, Arc::clone(&broken));
                tokio::spawn(async move {
                    let mut length = [0; 4];
                    let mut head = Vec::new();
                    if far.read_exact(&mut length).await.is_ok() {
                        head.resize(u32::from_be_bytes(length) as usize, 0);
                    }
                    if head.is_empty() || far.read_exact(&mut head).await.is_err() {
                        let _ = opened.send(None);
                        return;
                    }
                    let head = FileBytes::decode(&head[..]).expect("a head");
                    let _ = opened.send(Some((1 - side, head, Breaking { inner: far, left, broken: breaks })));
                });
                tokio::spawn(async move {
                    let outcome = job::send(&mut near, sending, Opener::default(), flag).await;
                    broken.store(!matches!(outcome, Outcome::Sent), Ordering::Release);
                    drop(near);
                    let _ = news.send((job, outcome));
                });
            }
            Do::RemovePart(spot, id) => super::super::target::remove_part(&spot, &shown_id(&id)),
            Do::RemoveHeld(spot) => super::super::target::remove_held(&spot),
        }
    }

    fn one(&self, side: usize) -> File {
        let list = self.sides[side].desk.list();
        assert_eq!(list.len(), 1, "{list:?}");
        list[0].clone()
    }

    /// State and reason on both sides.
    fn states(&self) -> [(FileState, Option<Code>, bool); 2] {
        [ALICE, BOB].map(|side| {
            let file = self.one(side);
            (file.state, file.code, file.by_peer)
        })
    }

    fn names(&self, folder: &str) -> Vec<String> {
        let Ok(listed) = fs::read_dir(self.home.path().join(folder)) else { return Vec::new() };
        let mut names: Vec<String> =
            listed.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort_unstable();
        names
    }

    fn accept(&mut self, conflict: Conflict) -> Result<File, Refusal> {
        let id = self.one(BOB).id;
        self.sides[BOB].desk.accept(&id, false, conflict)
    }

    /// A frame from alice that her desk did not decide on.
    fn forged(&mut self, name: chat_proto::method::Tag4, body: &impl Message) {
        self.frames[BOB].push_back(Frame::new(name, 0, body));
    }
}

fn device(side: usize) -> PeerDevice {
    PeerDevice { device: DeviceId([side as u8 + 1; 16]), key: [side as u8 + 7; 32] }
}

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|place| (place.wrapping_mul(2_654_435_761) >> 7) as u8).collect()
}

const MIB: usize = 1 << 20;

#[tokio::test]
async fn a_file_is_offered_taken_and_there() {
    let mut world = World::new();
    let content = bytes(3 * MIB + 5);
    let offered = world.offer("x.bin", &content).expect("offered");
    world.run().await;
    assert_eq!((offered.state, world.sides[BOB].offers.len()), (FileState::Offered, 1));
    assert_eq!(world.one(BOB).id, offered.id);
    world.accept(Conflict::Fail).expect("taken");
    world.run().await;
    assert_eq!(world.states(), [(FileState::Done, None, false); 2]);
    let (sent, got) = (world.one(ALICE), world.one(BOB));
    assert_eq!((sent.done, got.done), (content.len() as u64, content.len() as u64));
    assert_eq!(fs::read(got.path.expect("a path")).expect("read"), content);
    assert_eq!(world.names("bob"), ["x.bin"]);
    for side in &world.sides {
        assert_eq!(side.told.iter().filter(|file| file.state == FileState::Done).count(), 1, "an end is told once");
    }
}

#[tokio::test]
async fn an_empty_file_is_one_too() {
    let mut world = World::new();
    world.offer("empty", b"").expect("offered");
    world.run().await;
    world.accept(Conflict::Fail).expect("taken");
    world.run().await;
    assert_eq!(world.states(), [(FileState::Done, None, false); 2]);
    assert_eq!(world.names("bob"), ["empty"]);
}

#[tokio::test]
async fn a_no_is_told() {
    let mut world = World::new();
    world.offer("x", b"x").expect("offered");
    world.run().await;
    let id = world.one(BOB).id;
    world.sides[BOB].desk.decline(&id[12..]).expect("declined");
    world.run().await;
    assert_eq!(world.states(), [(FileState::Declined, None, true), (FileState::Declined, None, false)]);
    assert_eq!(world.sides[BOB].desk.accept(&id, false, Conflict::Fail).expect_err("over").code, Code::TOO_LATE);
    assert_eq!(world.sides[ALICE].desk.decline(&id).expect_err("hers").code, Code::UNKNOWN_FILE);
    world.offer_at(world.home.path().join("x")).expect("offered anew");
    world.run().await;
    assert_eq!(world.sides[BOB].desk.list().len(), 2, "a declined offer is not that one again");
}

#[tokio::test]
async fn each_side_can_give_it_up_at_any_time() {
    for side in [ALICE, BOB] {
        for moment in 0..3 {
            let mut world = World::new();
            world.break_after = MIB;
            world.offer("x", &bytes(4 * MIB)).expect("offered");
            world.run().await;
            if moment > 0 {
                world.accept(Conflict::Fail).expect("taken");
            }
            if moment > 1 {
                world.run().await;
                assert_eq!(world.names("bob").len(), 1, "a part is there");
            }
            let id = world.one(side).id;
            world.sides[side].desk.cancel(&id).expect("given up");
            world.run().await;
            let mut states = [(FileState::Cancelled, None, true); 2];
            states[side].2 = false;
            assert_eq!(world.states(), states, "{side} {moment}");
            assert_eq!(world.names("bob"), Vec::<String>::new(), "{side} {moment}");
        }
    }
}

#[tokio::test]
async fn it_goes_on_behind_a_cut() {
    let mut world = World::new();
    let content = bytes(5 * MIB);
    world.offer("x", &content).expect("offered");
    world.run().await;
    world.break_after = 2 * MIB;
    world.accept(Conflict::Fail).expect("taken");
    world.run().await;
    world.cut();
    world.run().await;
    assert_eq!(world.states().map(|state| state.0), [FileState::Waiting; 2]);
    assert_eq!(world.one(BOB).done, 2 * MIB as u64);
    world.break_after = usize::MAX;
    world.connect();
    world.run().await;
    assert_eq!(world.states(), [(FileState::Done, None, false); 2]);
    let asked = world.sides[ALICE].told.iter().filter(|file| file.state == FileState::Running).map(|file| file.done);
    assert_eq!(asked.collect::<Vec<_>>(), [0, 2 * MIB as u64], "the second time from where it was cut");
    assert_eq!(fs::read(world.one(BOB).path.expect("a path")).expect("read"), content);
}

#[tokio::test]
async fn it_goes_on_behind_a_kill_of_either_side() {
    for round in 0..10 {
        let mut world = World::new();
        let content = bytes(4 * MIB + round);
        world.offer("x", &content).expect("offered");
        world.run().await;
        world.break_after = round * 300_000 + 1;
        world.accept(Conflict::Fail).expect("taken");
        world.run().await;
        world.cut();
        world.restart(round % 2);
        world.run().await;
        world.break_after = usize::MAX;
        world.connect();
        world.run().await;
        assert_eq!(world.states(), [(FileState::Done, None, false); 2], "{round}");
        assert_eq!(fs::read(world.one(BOB).path.expect("a path")).expect("read"), content);
        assert_eq!(world.names("bob"), ["x"]);
    }
}

#[tokio::test]
async fn what_a_lost_connection_swallowed_is_said_again() {
    let mut world = World::new();
    world.offer("x", b"abc").expect("offered");
    world.run().await;
    world.accept(Conflict::Fail).expect("taken");
    world.run().await;
    // As if the word that all is there had been lost, and the sender killed.
    world.cut();
    for kept in world.sides[ALICE].kept.values_mut() {
        kept.state = FileState::Waiting;
    }
    world.restart(ALICE);
    world.connect();
    world.run().await;
    assert_eq!(world.states(), [(FileState::Done, None, false); 2]);
    // What was given up while the two were apart is told when they meet.
    let mut world = World::new();
    world.offer("y", b"abc").expect("offered");
    world.run().await;
    world.cut();
    let id = world.one(ALICE).id;
    world.sides[ALICE].desk.cancel(&id).expect("given up");
    world.run().await;
    assert_eq!(world.one(BOB).state, FileState::Offered);
    world.restart(ALICE);
    world.connect();
    world.run().await;
    assert_eq!(world.states(), [(FileState::Cancelled, None, false), (FileState::Cancelled, None, true)]);
}

#[tokio::test]
async fn a_session_that_is_ended_stops_it_until_somebody_asks() {
    for asks in [ALICE, BOB] {
        let mut world = World::new();
        let content = bytes(4 * MIB);
        world.offer("x", &content).expect("offered");
        world.run().await;
        world.break_after = MIB;
        world.accept(Conflict::Fail).expect("taken");
        world.run().await;
        for side in [ALICE, BOB] {
            world.sides[side].desk.ended(SESSION, Stop::Ended { by_peer: side == BOB });
        }
        world.up = false;
        world.run().await;
        let ended = Some(Code::SESSION_ENDED);
        assert_eq!(world.states(), [(FileState::Failed, ended, false), (FileState::Failed, ended, true)]);
        assert_eq!(world.accept(Conflict::Resume).expect_err("nobody there").code, Code::PEER_UNREACHABLE);
        world.break_after = usize::MAX;
        world.connect();
        world.run().await;
        assert_eq!(world.states().map(|state| state.0), [FileState::Failed; 2], "nobody asked");
        if asks == ALICE {
            world.offer_at(world.home.path().join("x")).expect("sent again");
            world.run().await;
            assert_eq!(world.states().map(|state| state.0), [FileState::Offered; 2], "the user is asked again");
        }
        world.accept(Conflict::Resume).expect("taken again");
        world.run().await;
        assert_eq!(world.states(), [(FileState::Done, None, false); 2]);
        let starts: Vec<u64> = world.sides[ALICE]
            .told
            .iter()
            .filter(|file| file.state == FileState::Running)
            .map(|file| file.done)
            .collect();
        assert_eq!(starts, [0, MIB as u64], "not from the beginning");
        assert_eq!(fs::read(world.one(BOB).path.expect("a path")).expect("read"), content);
    }
}

#[tokio::test]
async fn a_peer_that_was_lost_is_gone_on_with_at_once() {
    let mut world = World::new();
    world.offer("x", &bytes(4 * MIB)).expect("offered");
    world.offer("offered only", b"x").expect("offered");
    world.run().await;
    world.break_after = MIB;
    let first = world.sides[BOB].desk.list()[0].id.clone();
    world.sides[BOB].desk.accept(&first, false, Conflict::Fail).expect("taken");
    world.run().await;
    world.up = false;
    for side in [ALICE, BOB] {
        world.sides[side].desk.ended(SESSION, Stop::Lost);
    }
    world.run().await;
    for side in [ALICE, BOB] {
        assert!(world.sides[side].desk.list().iter().all(|file| file.code == Some(Code::PEER_UNREACHABLE)));
    }
    world.break_after = usize::MAX;
    world.connect();
    world.run().await;
    for side in [ALICE, BOB] {
        let states: Vec<FileState> = world.sides[side].desk.list().iter().map(|file| file.state).collect();
        assert_eq!(states, [FileState::Done, FileState::Offered]);
    }
}

#[tokio::test]
async fn a_file_that_changed_is_damaged_on_both_sides() {
    let mut world = World::new();
    world.offer("x", &bytes(MIB)).expect("offered");
    world.run().await;
    world.write("x", &bytes(MIB + 1));
    world.accept(Conflict::Fail).expect("taken");
    world.run().await;
    let damaged = Some(Code::FILE_DAMAGED);
    assert_eq!(world.states(), [(FileState::Failed, damaged, false), (FileState::Failed, damaged, true)]);
    assert_eq!(world.names("bob"), Vec::<String>::new());

    // The same size and time, and other bytes: the receiver sees it.
    let mut world = World::new();
    world.offer("x", &bytes(MIB)).expect("offered");
    world.run().await;
    let path = world.home.path().join("x");
    let time = fs::metadata(&path).and_then(|data| data.modified()).expect("a time");
    fs::write(&path, vec![7; MIB]).expect("written");
    fs::File::options().write(true).open(&path).and_then(|file| file.set_modified(time)).expect("set back");
    world.accept(Conflict::Fail).expect("taken");
    world.run().await;
    assert_eq!(world.states(), [(FileState::Failed, damaged, true), (FileState::Failed, damaged, false)]);
    assert_eq!(world.names("bob"), Vec::<String>::new());
}

#[tokio::test]
async fn what_is_too_large_is_declined_at_once() {
    let mut world = World::new();
    world.setups[BOB].max_size = 10;
    world.restart(BOB);
    world.connect();
    world.offer("x", b"eleven byte").expect("offered");
    world.run().await;
    let large = Some(Code::TOO_LARGE);
    assert_eq!(world.states(), [(FileState::Declined, large, true), (FileState::Declined, large, false)]);
    assert!(world.sides[BOB].offers.is_empty(), "nobody is asked");
}

#[tokio::test]
async fn files_of_the_trusted_are_taken_and_replace_nothing() {
    let mut world = World::new();
    world.setups[BOB].auto_accept = vec!["Alice".into()];
    world.restart(BOB);
    world.connect();
    fs::create_dir(world.home.path().join("bob")).expect("made");
    fs::write(world.home.path().join("bob/x.txt"), "mine").expect("written");
    world.offer("x.txt", b"hers").expect("offered");
    world.run().await;
    assert_eq!(world.states(), [(FileState::Done, None, false); 2]);
    assert_eq!(world.names("bob"), ["x (2).txt", "x.txt"]);
    assert_eq!(fs::read_to_string(world.home.path().join("bob/x.txt")).expect("read"), "mine");
}

#[tokio::test]
async fn where_case_is_kept_another_spelling_is_another_user() {
    for (classic, expected) in [(false, FileState::Done), (true, FileState::Offered)] {
        let mut world = World::new();
        world.setups[BOB].auto_accept = vec!["Alice".into()];
        world.classic = classic;
        world.restart(BOB);
        world.connect();
        world.offer("x", b"abc").expect("offered");
        world.run().await;
        assert_eq!(world.one(BOB).state, expected);
    }
}

#[tokio::test]
async fn who_is_taken_anew_leaves_others_what_they_have() {
    let mut world = World::new();
    world.offer("x", b"abc").expect("offered");
    world.run().await;
    world.accept(Conflict::Fail).expect("taken");
    fs::create_dir(world.home.path().join("bob")).expect("made");
    fs::write(world.home.path().join("bob/x"), "mine").expect("written");
    world.run().await;
    let first = world.one(BOB);
    assert_eq!(first.code, Some(Code::FILE_EXISTS));
    // The same content again, under another name.
    world.offer("y", b"abc").expect("offered");
    world.run().await;
    let second = world.sides[BOB].desk.list().pop().expect("two");
    world.sides[BOB].desk.accept(&second.id, false, Conflict::Rename).expect("taken");
    world.run().await;
    assert!(fs::exists(world.home.path().join("bob/y")).expect("looked"));
    // What the first one left is still its own: it goes on from there, or goes with it.
    assert_eq!(world.names("bob").len(), 3, "{:?}", world.names("bob"));
    world.sides[BOB].desk.cancel(&first.id).expect("given up");
    world.run().await;
    assert_eq!(world.names("bob"), ["x", "y"]);
}

#[tokio::test]
async fn who_cleans_up_makes_no_folder() {
    let mut world = World::new();
    world.offer("x", b"abc").expect("offered");
    world.run().await;
    world.accept(Conflict::Fail).expect("taken");
    fs::create_dir(world.home.path().join("bob")).expect("made");
    fs::write(world.home.path().join("bob/x"), "mine").expect("written");
    world.run().await;
    fs::remove_dir_all(world.home.path().join("bob")).expect("gone");
    let id = world.one(BOB).id;
    world.sides[BOB].desk.cancel(&id).expect("given up");
    world.run().await;
    assert!(!fs::exists(world.home.path().join("bob")).expect("looked"));
}

#[tokio::test]
async fn a_name_in_use_keeps_the_bytes_for_another_try() {
    let mut world = World::new();
    world.offer("x", b"hers").expect("offered");
    world.run().await;
    world.accept(Conflict::Fail).expect("taken");
    fs::create_dir(world.home.path().join("bob")).expect("made");
    fs::write(world.home.path().join("bob/x"), "mine").expect("written");
    world.run().await;
    let exists = Some(Code::FILE_EXISTS);
    assert_eq!(world.states(), [(FileState::Failed, exists, true), (FileState::Failed, exists, false)]);
    world.accept(Conflict::Rename).expect("taken again");
    world.run().await;
    assert_eq!(world.states(), [(FileState::Done, None, false); 2]);
    assert_eq!(world.names("bob"), ["x", "x (2)"]);
}

#[tokio::test]
async fn a_held_file_waits_for_its_taker() {
    let mut world = World::new();
    world.offer("x", b"abc").expect("offered");
    world.run().await;
    let id = world.one(BOB).id;
    world.sides[BOB].desk.accept(&id, true, Conflict::Fail).expect("taken");
    assert_eq!(world.sides[BOB].desk.taken(&id, None).expect_err("not there yet").code, Code::TOO_LATE);
    world.run().await;
    let held = world.one(BOB).path.expect("a path");
    assert_eq!((fs::read_to_string(&held).expect("read"), world.names("bob-held")), ("abc".into(), vec![id.clone()]));
    world.restart(BOB);
    let taken = world.sides[BOB].desk.taken(&id, Some("/elsewhere/x".into())).expect("taken");
    assert_eq!(taken.path.as_deref(), Some("/elsewhere/x"));
    world.run().await;
    assert_eq!(world.names("bob-held"), Vec::<String>::new());
    assert_eq!(world.sides[BOB].desk.taken(&id, None).expect_err("once").code, Code::UNKNOWN_FILE);
}

#[tokio::test]
async fn a_few_run_and_the_others_wait() {
    let mut world = World::new();
    for number in 0..FILES_AT_ONCE + 3 {
        world.offer(&format!("f{number}"), &bytes(MIB)).expect("offered");
    }
    world.run().await;
    for file in world.sides[BOB].desk.list() {
        world.sides[BOB].desk.accept(&file.id, false, Conflict::Fail).expect("taken");
    }
    let busy = |desk: &Desk| desk.entries.iter().filter(|entry| !matches!(entry.work, Work::Rest)).count();
    assert_eq!(busy(&world.sides[BOB].desk), FILES_AT_ONCE);
    world.run().await;
    assert!(world.sides.iter().all(|side| side.desk.list().iter().all(|file| file.state == FileState::Done)));
    assert_eq!(world.names("bob").len(), FILES_AT_ONCE + 3);
}

#[tokio::test]
async fn a_peer_that_floods_is_bounded() {
    let mut world = World::new();
    for number in 0..1000_u32 {
        let mut id = [0; 16];
        id[4..8].copy_from_slice(&number.to_be_bytes());
        let offer = FileOffer { id: id.to_vec(), name: "x".into(), size: 1, sha256: vec![0; 32] };
        world.forged(method::FILE_OFFER, &offer);
        // One that is withdrawn at once makes no room for ever more.
        world.forged(method::FILE_CANCEL, &FileEnd { id: id.to_vec(), code: Code::CANCELLED.0 });
    }
    world.run().await;
    assert_eq!(world.sides[BOB].offers.len(), FILE_OFFERS_AT_ONCE as usize);
    world.now.mono_ms += 3_600_000;
    for number in 0..100_u32 {
        let mut id = [1; 16];
        id[4..8].copy_from_slice(&number.to_be_bytes());
        world
            .forged(method::FILE_OFFER, &FileOffer { id: id.to_vec(), name: "x".into(), size: 1, sha256: vec![0; 32] });
    }
    world.run().await;
    let open = world.sides[BOB].desk.list().into_iter().filter(|file| file.state == FileState::Offered);
    assert_eq!(open.count(), FILE_OFFERS_OF_PEER);
}

#[tokio::test]
async fn a_peer_that_begins_again_and_again_is_bounded() {
    let mut world = World::new();
    let id = [7; 16];
    let offer = FileOffer { id: id.to_vec(), name: "x".into(), size: 1, sha256: vec![0; 32] };
    let end = |code: Code| FileEnd { id: id.to_vec(), code: code.0 };
    for _ in 0..500 {
        world.forged(method::FILE_OFFER, &offer);
        world.forged(method::FILE_CANCEL, &end(Code::DISK_FULL));
        world.forged(method::FILE_CANCEL, &end(Code::TIMED_OUT));
    }
    world.run().await;
    let starts = FILE_OFFERS_AT_ONCE as usize;
    let side = &world.sides[BOB];
    assert_eq!((side.offers.len(), side.told.len(), side.writes), (starts, starts, 2 * starts));

    // The one who sends is asked for bytes again and again, with and without an end between.
    let mut world = World::new();
    world.break_after = 0;
    world.offer("x", b"abc").expect("offered");
    world.run().await;
    let id = world.sides[ALICE].kept.values().next().expect("one").id;
    let accept = FileAccept { id: id.to_vec(), offset: 0 };
    let end = FileEnd { id: id.to_vec(), code: Code::DISK_FULL.0 };
    for ends in [false, true] {
        let (told, writes) = (world.sides[ALICE].told.len(), world.sides[ALICE].writes);
        for _ in 0..500 {
            world.frames[ALICE].push_back(Frame::new(method::FILE_ACCEPT, 0, &accept));
            if ends {
                world.frames[ALICE].push_back(Frame::new(method::FILE_CANCEL, 0, &end));
            }
            world.run().await;
        }
        let (told, writes) = (world.sides[ALICE].told.len() - told, world.sides[ALICE].writes - writes);
        assert!(told <= 5 * (starts + 1) && writes <= 2 * (starts + 1), "{ends}: {told} told, {writes} written");
        assert!(told > 0);
    }
}

#[tokio::test]
async fn another_key_of_the_device_gets_nothing_of_the_old_one() {
    for (changed, resumable) in [(ALICE, false), (BOB, false), (ALICE, true), (BOB, true)] {
        let mut world = World::new();
        world.offer("x", &bytes(4 * MIB)).expect("offered");
        world.offer("y", b"y").expect("offered");
        world.run().await;
        world.break_after = MIB;
        let first = world.sides[BOB].desk.list()[0].id.clone();
        world.sides[BOB].desk.accept(&first, false, Conflict::Fail).expect("taken");
        world.run().await;
        match resumable {
            true => (0..2).for_each(|side| world.sides[side].desk.ended(SESSION, Stop::Ended { by_peer: false })),
            false => world.cut(),
        }
        world.run().await;
        world.break_after = usize::MAX;
        world.devices[changed].key = [99; 32];
        // The one whose key is new has forgotten all, as another would who sits there now.
        world.sides[changed].kept.clear();
        world.restart(changed);
        world.restart(1 - changed);
        world.connect();
        let stays = &mut world.sides[1 - changed];
        let mut said = Vec::new();
        while let Some(one) = stays.desk.poll() {
            match one {
                Do::Say(_, frame) => said.push(frame),
                Do::Keep(write) => stays.keep(write),
                _ => {}
            }
        }
        assert!(said.is_empty(), "{said:?}");
        let ends = |side: &Side| side.desk.list().iter().map(|file| (file.state, file.code)).collect::<Vec<_>>();
        let identity = (FileState::Failed, Some(Code::IDENTITY_CHANGED));
        assert_eq!(ends(stays), [identity; 2], "{changed} {resumable}");
        // Whoever has the id does not get it either.
        let id = stays.kept.values().next().expect("kept").id;
        world.frames[1 - changed].push_back(Frame::new(
            method::FILE_ACCEPT,
            0,
            &FileAccept { id: id.to_vec(), offset: 0 },
        ));
        world.run().await;
        assert_eq!(ends(&world.sides[1 - changed]), [identity; 2]);
        world.restart(1 - changed);
        assert_eq!(ends(&world.sides[1 - changed]), [identity; 2], "after a restart too");
        // Asked for by its user it is a new one.
        world.connect();
        world.offer("x", b"new").expect("offered");
        world.run().await;
        let last = world.sides[BOB].desk.list().pop().expect("one");
        world.sides[BOB].desk.accept(&last.id, false, Conflict::Rename).expect("taken");
        world.run().await;
        assert_eq!(world.sides[BOB].desk.list().pop().map(|file| file.state), Some(FileState::Done));
    }
}

#[tokio::test]
async fn a_kill_behind_the_name_and_before_the_commit_makes_no_second_file() {
    for conflict in [Conflict::Rename, Conflict::Fail, Conflict::Overwrite] {
        let mut world = World::new();
        world.offer("x", b"abc").expect("offered");
        world.run().await;
        world.accept(conflict).expect("taken");
        let before = loop {
            match world.sides[BOB].desk.poll() {
                Some(one @ Do::Keep(_)) => {
                    world.act(BOB, one);
                    break world.sides[BOB].kept.clone();
                }
                Some(one) => world.act(BOB, one),
                None => panic!("it is written down that it was taken"),
            }
        };
        world.full[BOB] = true;
        world.run().await;
        assert_eq!(world.names("bob"), ["x"]);
        assert_ne!(world.one(ALICE).state, FileState::Done, "nothing is said before it is written down");
        world.cut();
        world.sides[BOB].kept = before;
        world.restart(BOB);
        world.full[BOB] = false;
        world.connect();
        world.run().await;
        assert_eq!(world.states(), [(FileState::Done, None, false); 2], "{conflict:?}");
        assert_eq!(world.names("bob"), ["x"], "{conflict:?}");
        assert_eq!(world.one(BOB).path.as_deref(), world.home.path().join("bob").join("x").to_str());
    }
}

#[tokio::test]
async fn what_a_full_disk_did_not_take_is_written_down_later() {
    let mut world = World::new();
    world.offer("x", b"abc").expect("offered");
    world.run().await;
    world.accept(Conflict::Fail).expect("taken");
    world.full[BOB] = true;
    world.run().await;
    assert_eq!((world.one(BOB).state, world.one(ALICE).state), (FileState::Done, FileState::Running));
    world.full[BOB] = false;
    world.now.mono_ms += KEEP_AGAIN_MS;
    world.tick();
    world.run().await;
    assert_eq!(world.states(), [(FileState::Done, None, false); 2]);
    assert_eq!(
        world.sides[BOB].kept.values().map(|kept| (kept.state, kept.told)).collect::<Vec<_>>(),
        [(FileState::Done, true)]
    );
    let writes = world.sides[BOB].writes;
    world.now.mono_ms += KEEP_AGAIN_MS;
    world.tick();
    world.run().await;
    assert_eq!(world.sides[BOB].writes, writes, "and then no more");
}

#[tokio::test]
async fn old_ones_make_room_and_open_ones_do_not() {
    let mut world = World::new();
    world.offer("open", b"abc").expect("offered");
    world.run().await;
    for number in 0..FILES_MAX + 20 {
        world.now.mono_ms += 1000;
        world.offer(&format!("f{number}"), &[]).expect("offered");
        world.run().await;
        let last = world.sides[BOB].desk.list().pop().expect("one").id;
        world.sides[BOB].desk.decline(&last).expect("declined");
        world.run().await;
    }
    for side in &world.sides {
        assert_eq!((side.desk.entries.len(), side.kept.len()), (FILES_MAX, FILES_MAX));
        assert_eq!(side.kept.values().next_back().map(|file| file.name.as_str()), Some("f275"));
        let open = side.kept.values().next().map(|file| (file.name.as_str(), file.state));
        assert_eq!(open, Some(("open", FileState::Offered)), "the oldest, and the only one that is not over");
    }
}

#[tokio::test]
async fn a_peers_many_old_ones_make_room_for_its_own_next_and_not_anothers() {
    let mut world = World::new();
    world.offer("x", b"abc").expect("offered");
    world.run().await;
    let id = world.one(BOB).id;
    world.sides[BOB].desk.decline(&id).expect("declined");
    world.run().await;
    let desk = &mut world.sides[BOB].desk;
    let over = desk.entries.remove(0).kept;
    let mut number = 0_u128;
    let mut add = |peer: &str| {
        number += 1;
        desk.add(Transfer { id: number.to_be_bytes(), peer: peer.into(), ..over.clone() }).expect("room");
        ["alice", "carol"].map(|peer| desk.entries.iter().filter(|entry| entry.kept.peer == peer).count())
    };
    // Carol's are the oldest.
    for number in 0..FILES_MAX {
        add(if number < FILES_MAX - FILES_OF_PEER { "carol" } else { "alice" });
    }
    assert_eq!(add("alice"), [FILES_OF_PEER + 1, FILES_MAX - FILES_OF_PEER - 1], "the oldest of all");
    for _ in 0..FILES_OF_PEER {
        assert_eq!(add("alice"), [FILES_OF_PEER + 1, FILES_MAX - FILES_OF_PEER - 1], "from here on its own");
    }
}

#[tokio::test]
async fn a_hostile_peer_gets_nothing_by_odd_words() {
    let mut world = World::new();
    world.offer("x", b"abc").expect("offered");
    world.run().await;
    let id = world.sides[BOB].kept.values().next().expect("one").id;
    // Bytes that nobody asked for, and of what nobody knows.
    let head = |id: &[u8], offset| FileBytes { id: id.to_vec(), offset };
    assert!(world.sides[BOB].desk.bytes(SESSION, &head(&id, 0)).is_none());
    assert!(world.sides[BOB].desk.bytes(SESSION, &head(&[], 0)).is_none());
    assert!(world.sides[BOB].desk.bytes([9; 16], &head(&id, 0)).is_none());
    // Another file under the same id, or one that looks the same.
    let mut twin = id;
    twin[15] ^= 1;
    for (id, size) in [(id, 4), (twin, 3)] {
        world.forged(method::FILE_OFFER, &FileOffer { id: id.to_vec(), name: "y".into(), size, sha256: vec![0; 32] });
    }
    // Malformed ids and hashes; words about what is unknown; that it has a file that it only offered.
    world.forged(method::FILE_OFFER, &FileOffer { id: vec![1; 3], name: "y".into(), size: 1, sha256: vec![0; 32] });
    world.forged(method::FILE_OFFER, &FileOffer { id: vec![1; 16], name: "y".into(), size: 1, sha256: vec![0; 9] });
    world.forged(method::FILE_ACCEPT, &FileAccept { id: id.to_vec(), offset: 0 });
    world.forged(method::FILE_DONE, &FileEnd { id: id.to_vec(), code: 0 });
    world.forged(method::FILE_CANCEL, &FileEnd { id: vec![8; 16], code: 1 });
    world.run().await;
    assert_eq!((world.one(BOB).state, world.one(BOB).size), (FileState::Offered, 3));
    assert!(
        world.sides[BOB]
            .desk
            .frame(SESSION, &Frame { name: method::FILE_OFFER, tag: 0, body: vec![0xff].into() }, world.now)
            .is_err()
    );
    // A reason that is none of a file's is not shown as what it says.
    world.forged(method::FILE_CANCEL, &FileEnd { id: id.to_vec(), code: Code::IDENTITY_CHANGED.0 });
    world.run().await;
    assert_eq!(world.states()[BOB], (FileState::Failed, Some(Code::INTERNAL), true));
}

#[tokio::test]
async fn more_bytes_than_there_are_cannot_be_asked_for() {
    let mut world = World::new();
    world.offer("x", b"abc").expect("offered");
    world.run().await;
    let id = world.sides[ALICE].kept.values().next().expect("one").id;
    world.frames[ALICE].push_back(Frame::new(method::FILE_ACCEPT, 0, &FileAccept { id: id.to_vec(), offset: 4 }));
    world.run().await;
    assert_eq!(world.one(ALICE).state, FileState::Offered);
}

#[tokio::test]
async fn what_an_earlier_offer_left_is_used_when_asked() {
    let mut world = World::new();
    let content = bytes(3 * MIB);
    world.offer("x", &content).expect("offered");
    world.run().await;
    world.break_after = MIB;
    world.accept(Conflict::Fail).expect("taken");
    world.run().await;
    for side in [ALICE, BOB] {
        world.sides[side].desk.ended(SESSION, Stop::Ended { by_peer: false });
    }
    world.run().await;
    // The sender has forgotten all of it.
    world.sides[ALICE].kept.clear();
    world.restart(ALICE);
    world.break_after = usize::MAX;
    world.connect();
    world.offer_at(world.home.path().join("x")).expect("offered anew");
    world.run().await;
    let id = world.sides[BOB].desk.list().pop().expect("two").id;
    world.sides[BOB].desk.accept(&id, false, Conflict::Resume).expect("taken");
    world.run().await;
    assert_eq!(world.one(ALICE).state, FileState::Done);
    let start = world.sides[ALICE].told.iter().rfind(|file| file.state == FileState::Running).map(|file| file.done);
    assert_eq!(start, Some(MIB as u64));
    assert_eq!(world.names("bob"), ["x"]);
}

#[tokio::test]
async fn what_runs_is_told_once_a_second() {
    let mut world = World::new();
    world.offer("x", &bytes(MIB)).expect("offered");
    world.run().await;
    world.accept(Conflict::Fail).expect("taken");
    world.run().await;
    assert_eq!(world.sides[BOB].desk.entries.len(), 1);
    let desk = &mut world.sides[BOB].desk;
    let entry = &mut desk.entries[0];
    (entry.kept.state, entry.flag, entry.work) = (FileState::Running, Flag::at(0), Work::Moving(99, None));
    desk.tell_at = Some(0);
    desk.tick(1000);
    assert_eq!((desk.poll().is_none(), desk.poll_timeout()), (true, Some(2000)), "measured from here on");
    desk.entries[0].flag = Flag::at(500_000);
    desk.tick(1999);
    assert!(desk.poll().is_none());
    desk.tick(2000);
    assert!(matches!(desk.poll(), Some(Do::Tell(file)) if file.rate == Some(500_000) && file.done == 500_000));
    desk.tick(3000);
    assert!(desk.poll().is_none(), "nothing moved");
    desk.entries[0].work = Work::Rest;
    desk.tick(4000);
    assert_eq!(desk.poll_timeout(), None);
}

#[tokio::test]
async fn a_peer_that_breaks_off_again_and_again_is_asked_now_and_then() {
    let mut world = World::new();
    world.offer("x", &bytes(MIB)).expect("offered");
    world.run().await;
    world.break_after = 1;
    world.accept(Conflict::Fail).expect("taken");
    world.run().await;
    let asked = |world: &World| world.sides[ALICE].told.iter().filter(|file| file.state == FileState::Running).count();
    assert_eq!(asked(&world), 1);
    for second in 1..4 {
        world.now.mono_ms += AGAIN_AFTER_MS;
        world.tick();
        world.run().await;
        assert_eq!(asked(&world), second + 1);
    }
    world.break_after = usize::MAX;
    world.now.mono_ms += AGAIN_AFTER_MS;
    world.tick();
    world.run().await;
    assert_eq!(world.states(), [(FileState::Done, None, false); 2]);
}

/// A small file system, gone when it is dropped.
struct Small(PathBuf);

impl Small {
    /// Nothing where this user may not mount.
    fn at(path: PathBuf, size: &str) -> Option<Small> {
        fs::create_dir_all(&path).expect("made");
        mount(&["-t", "tmpfs", "-o", &format!("size={size}"), "none"], &path).then_some(Small(path))
    }

    fn grow(&self, size: &str) {
        assert!(mount(&["-o", &format!("remount,size={size}")], &self.0));
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn mount(args: &[&str], path: &std::path::Path) -> bool {
    let mounted = std::process::Command::new("mount").args(args).arg(path).stderr(std::process::Stdio::null()).status();
    mounted.is_ok_and(|status| status.success())
}

#[tokio::test]
async fn a_full_disk_keeps_what_came_until_there_is_room() {
    let mut world = World::new();
    let Some(small) = Small::at(world.home.path().join("bob"), "1m") else {
        return; // only root may mount
    };
    let content = bytes(3 * MIB);
    world.offer("x", &content).expect("offered");
    world.run().await;
    world.accept(Conflict::Fail).expect("taken");
    world.run().await;
    let full = Some(Code::DISK_FULL);
    assert_eq!(world.states(), [(FileState::Failed, full, true), (FileState::Failed, full, false)]);
    assert_eq!(world.names("bob").len(), 1, "a part is kept");
    small.grow("8m");
    world.accept(Conflict::Resume).expect("taken again");
    world.run().await;
    assert_eq!(world.states(), [(FileState::Done, None, false); 2]);
    let starts: Vec<u64> =
        world.sides[ALICE].told.iter().filter(|file| file.state == FileState::Running).map(|file| file.done).collect();
    assert!(starts.len() == 2 && starts[1] > 0, "{starts:?}");
    assert_eq!(fs::read(world.one(BOB).path.expect("a path")).expect("read"), content);
}
