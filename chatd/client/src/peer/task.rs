//! One session's connection, whoever makes it and however often: dialled, taken, proven, kept, made anew; until it is ended or the
//! peer is out of reach for too long. Frames go through, to and from the profile's owner.
//!
//! What a peer may have waiting for the owner is bounded by bytes: a frame is passed on with its share of [`PEER_WINDOW`], which
//! comes back when the owner drops it. So a peer that floods is not read, and the server's link goes on (S30, S32).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use chat_proto::frame::{self, Frame};
use chat_proto::limits::{FRAME_MAX, PEER_AWAY, PEER_HELLO_WITHIN, PEER_WINDOW, SEND_WINDOW_BYTES};
use chat_proto::method::peer as method;
use chat_proto::peer::{Bye, FileBytes};
use iroh::endpoint::{PathEventStream, RecvStream, SendStream};
use prost::Message as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::hello::{self, Known, Own, Talk};
use super::iroh::Expecting;
use super::{Connection, PathInfo, PeerError, Place, Relay, Target};

/// Frames that wait to be written, and their bytes: two windows of texts. A peer that reads so slowly is as good as gone.
const WRITES: (usize, usize) = (1024, 2 * SEND_WINDOW_BYTES);
/// Connections of one peer that are being proven.
const MEETINGS: usize = 4;
/// Who does not dial first waits so long for the other.
const SECOND: Duration = Duration::from_millis(500);
/// Waits between tries to dial: first, longest.
const REDIAL: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// Connections that both sides made at the same time meet within this; a later one is wanted in place of the older.
const CROSSING: Duration = Duration::from_secs(2);
/// A direct path that was asked for must be found within this.
const DIRECT_WITHIN: Duration = Duration::from_secs(10);
/// A connection whose path is not known yet is looked at so often.
const PATH_LOOK: Duration = Duration::from_millis(100);
/// Last words get so long.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Bytes of the head of a stream with bytes of a file.
const HEAD_MAX: usize = 64;

/// What a session's connection needs.
pub struct Spec {
    /// This side.
    pub own: Own,
    /// The other side.
    pub known: Known,
    /// The endpoint.
    pub place: Arc<Place>,
    /// Where the peer is.
    pub target: Target,
    /// Who may come from there.
    pub expecting: Expecting,
    /// The relay, where it may be used, and the ticket for it.
    pub relay: Option<(Relay, String)>,
    /// This side dials at once.
    pub first: bool,
    /// Only a direct path will do.
    pub direct_only: bool,
}

/// What the owner asks.
pub enum Command {
    /// Say this on the connection with this number, if it is in use still.
    Frame(u64, Frame),
    /// The peer is elsewhere now.
    Moved(Target, Expecting),
    /// End it, with a reason of [`Bye`].
    End(u32),
}

/// What the owner is told.
pub enum PeerEvent {
    /// Connected, and the peer is proven: all that was on the way before is lost. Connections are numbered from 1 on; what is told of
    /// an older one may come late.
    Up(u64),
    /// The peer said something on this connection.
    Frame(u64, Frame, OwnedSemaphorePermit),
    /// A stream with bytes of a file, on this connection.
    Bytes(u64, FileBytes, RecvStream),
    /// The path is another one, or its first one.
    Path(PathInfo),
    /// The connection is lost; a new one is being made.
    Down,
    /// The peer's bytes on this connection make no sense.
    Broken(u64),
    /// The session is over, by the peer's word: a reason of [`Bye`].
    Over(u32),
    /// The peer was out of reach for too long.
    Lost,
    /// There is no direct path, and only that was allowed.
    NoDirectPath,
}

/// A session's connection, for its owner.
pub struct Session {
    commands: mpsc::UnboundedSender<Command>,
    live: Shown,
}

impl Session {
    /// Asks something; a task that has ended hears nothing.
    pub fn tell(&self, command: Command) {
        let _ = self.commands.send(command);
    }

    /// The connection with this number, while it is in use.
    pub fn connection(&self, number: u64) -> Option<Connection> {
        let live = lock(&self.live);
        live.as_ref().filter(|(known, _)| *known == number).map(|(_, connection)| connection.clone())
    }
}

/// The connection in use and its number, for the owner to look at.
type Shown = Arc<Mutex<Option<(u64, Connection)>>>;

fn lock<T>(held: &Mutex<T>) -> MutexGuard<'_, T> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts the task of a session; `key` goes with each event.
pub fn start<K: Copy + Send + Sync + 'static>(
    spec: Spec,
    key: K,
    events: mpsc::UnboundedSender<(K, PeerEvent)>,
) -> Session {
    let (commands, asked) = mpsc::unbounded_channel();
    let live = Arc::new(Mutex::new(None));
    let now = Instant::now();
    let tell: Tell = Arc::new(move |event| {
        let _ = events.send((key, event));
    });
    let task = Task {
        dial_at: if spec.first { now } else { now + SECOND },
        spec,
        tell,
        shown: Arc::clone(&live),
        live: None,
        adopted: 0,
        meetings: JoinSet::new(),
        dials: 0,
        dialling: None,
        dialled: None,
        tries: 0,
        away_since: now,
        began: now,
    };
    tokio::spawn(task.run(asked));
    Session { commands, live }
}

type Tell = Arc<dyn Fn(PeerEvent) + Send + Sync>;

/// Bytes to be written, and their share of what may wait.
type Write = (Bytes, OwnedSemaphorePermit);

/// A try to meet: the number of the dial where this side dialled, and what came of it.
type Met = (Option<u64>, Result<Talk, PeerError>);

struct Task {
    spec: Spec,
    tell: Tell,
    shown: Shown,
    live: Option<Live>,
    /// How many connections were in use so far; the number of the newest.
    adopted: u64,
    meetings: JoinSet<Met>,
    /// How many dials there were so far.
    dials: u64,
    /// The dial that is under way; its number is the newest.
    dialling: Option<AbortHandle>,
    /// When the newest began.
    dialled: Option<Instant>,
    dial_at: Instant,
    tries: u32,
    away_since: Instant,
    began: Instant,
}

/// The connection in use.
struct Live {
    number: u64,
    connection: Connection,
    writer: mpsc::Sender<Write>,
    room: Arc<Semaphore>,
    reading: [AbortHandle; 2],
    since: Instant,
    paths: PathEventStream,
    path: Option<PathInfo>,
    /// The task that writes; it ends when all is written.
    writing: JoinHandle<()>,
}

impl Live {
    /// Puts a frame behind those that wait; false where there is no room.
    fn write(&self, frame: &Frame) -> bool {
        let size = u32::try_from(frame.size()).unwrap_or(u32::MAX);
        let Ok(share) = Arc::clone(&self.room).try_acquire_many_owned(size) else { return false };
        let mut out = BytesMut::with_capacity(frame.size());
        frame.encode(&mut out);
        self.writer.try_send((out.freeze(), share)).is_ok()
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.writing.abort();
        self.reading.iter().for_each(AbortHandle::abort);
    }
}

enum Woken {
    Asked(Option<Command>),
    Came(Connection),
    Met(Met),
    Dial,
    Ended(PeerError),
    Path,
    GiveUp,
}

impl Task {
    async fn run(mut self, mut asked: mpsc::UnboundedReceiver<Command>) {
        if let Some((relay, ticket)) = self.spec.relay.take() {
            self.spec.place.use_relay(&relay, &ticket).await;
        }
        loop {
            let pathless = self.live.as_ref().is_some_and(|live| live.path.is_none());
            let (away, give_up_at) = (self.live.is_none(), self.give_up_at());
            let woken = tokio::select! {
                command = asked.recv() => Woken::Asked(command),
                Some(connection) = self.spec.expecting.next() => Woken::Came(connection),
                Some(met) = self.meetings.join_next() => match met {
                    Ok(met) => Woken::Met(met),
                    Err(_) => continue,
                },
                () = sleep_until(self.dial_at), if away && self.dialling.is_none() => Woken::Dial,
                woken = news(&mut self.live) => woken,
                // An event that came before it was listened for is not repeated.
                () = tokio::time::sleep(PATH_LOOK), if pathless => Woken::Path,
                () = sleep_until(give_up_at), if away => Woken::GiveUp,
            };
            match woken {
                Woken::Asked(Some(Command::Frame(number, frame))) => self.write(number, &frame),
                Woken::Asked(Some(Command::Moved(target, expecting))) => self.moved(target, expecting),
                Woken::Asked(Some(Command::End(reason))) => return self.end(reason).await,
                Woken::Asked(None) => return self.end(Bye::GONE).await,
                Woken::Came(connection) => self.meet(connection),
                Woken::Met((dial, met)) => {
                    if let Some(reason) = self.met(dial, met) {
                        return (self.tell)(PeerEvent::Over(reason));
                    }
                }
                Woken::Dial => self.dial(),
                Woken::Ended(error) => {
                    if let Some(reason) = self.ended(&error) {
                        return (self.tell)(PeerEvent::Over(reason));
                    }
                }
                Woken::Path => {
                    if !self.path() {
                        (self.tell)(PeerEvent::NoDirectPath);
                        return self.end(Bye::NO_DIRECT_PATH).await;
                    }
                }
                Woken::GiveUp => {
                    let direct = self.spec.direct_only && self.began == self.away_since;
                    return (self.tell)(if direct { PeerEvent::NoDirectPath } else { PeerEvent::Lost });
                }
            }
        }
    }

    /// When a session without a connection is over.
    fn give_up_at(&self) -> Instant {
        let first = self.began == self.away_since;
        self.away_since + if self.spec.direct_only && first { DIRECT_WITHIN } else { PEER_AWAY }
    }

    fn dial(&mut self) {
        self.dials += 1;
        self.dialled = Some(Instant::now());
        let dial = Some(self.dials);
        let (place, target) = (Arc::clone(&self.spec.place), self.spec.target.clone());
        let (own, known) = (self.spec.own.clone(), self.spec.known.clone());
        let dialling = self.meetings.spawn(async move {
            let connected = tokio::time::timeout(PEER_HELLO_WITHIN, place.connect(&target)).await;
            let met = match connected {
                Ok(Ok(connection)) => hello::meet(connection, &own, &known).await,
                Ok(Err(error)) => Err(error),
                Err(_) => Err(PeerError::TimedOut),
            };
            (dial, met)
        });
        self.dialling = Some(dialling);
    }

    fn meet(&mut self, connection: Connection) {
        if self.meetings.len() >= MEETINGS {
            return connection.close(Bye::DOUBLE);
        }
        let (own, known) = (self.spec.own.clone(), self.spec.known.clone());
        self.meetings.spawn(async move {
            let refused = connection.clone();
            let met = hello::meet(connection, &own, &known).await;
            match met {
                Err(PeerError::Unproven(_)) => refused.close(Bye::PROTOCOL),
                Err(PeerError::OtherSession) => refused.close(Bye::UNKNOWN),
                _ => {}
            }
            (None, met)
        });
    }

    /// A meeting is over; answers the reason when the session is. A dial that another took the place of led to where the peer is no more.
    fn met(&mut self, dial: Option<u64>, met: Result<Talk, PeerError>) -> Option<u32> {
        if dial.is_some_and(|dial| dial != self.dials || self.dialling.is_none()) {
            if let Ok(talk) = met {
                talk.connection.close(Bye::DOUBLE);
            }
            return None;
        }
        if dial.is_some() {
            self.dialling = None;
        }
        self.settle(met)
    }

    /// What a meeting that counts comes to: the connection that is used from now on, another try, or the end.
    fn settle(&mut self, met: Result<Talk, PeerError>) -> Option<u32> {
        match met {
            Ok(talk) => {
                // Whoever connected by a way that is not allowed: no word goes over it.
                let relayed = talk.connection.path().is_some_and(|path| path.direct.is_none());
                if relayed && self.spec.direct_only {
                    talk.connection.close(Bye::NO_DIRECT_PATH);
                    return Some(Bye::NO_DIRECT_PATH);
                }
                self.adopt(talk);
                None
            }
            // It may not have heard of the session yet.
            Err(PeerError::Closed(reason)) if is_final(reason) => Some(reason),
            Err(error) => {
                tracing::debug!(%error, "a peer was not met");
                self.redial();
                None
            }
        }
    }

    fn redial(&mut self) {
        let wait = REDIAL.0.saturating_mul(1 << self.tries.min(10)).min(REDIAL.1);
        self.tries += 1;
        self.dial_at = Instant::now() + wait;
    }

    /// Uses this connection, unless the one that both sides agree on is another.
    fn adopt(&mut self, talk: Talk) {
        if let Some(live) = &self.live
            && live.since.elapsed() < CROSSING
            && !self.is_preferred(&talk.connection)
        {
            return talk.connection.close(Bye::DOUBLE);
        }
        if let Some(old) = self.live.take() {
            old.connection.close(Bye::DOUBLE);
        }
        let Talk { connection, sender, receiver, left } = talk;
        self.tries = 0;
        self.adopted += 1;
        let number = self.adopted;
        *lock(&self.shown) = Some((number, connection.clone()));
        // The owner hears of the connection before anything that comes over it.
        (self.tell)(PeerEvent::Up(number));
        let (writer, writes) = mpsc::channel(WRITES.0);
        let writing = tokio::spawn(write_all(sender, writes));
        let reading = [
            tokio::spawn(read_all(receiver, left, number, connection.clone(), Arc::clone(&self.tell))).abort_handle(),
            tokio::spawn(accept_bytes(number, connection.clone(), Arc::clone(&self.tell))).abort_handle(),
        ];
        let (since, paths, room) = (Instant::now(), connection.path_events(), Arc::new(Semaphore::new(WRITES.1)));
        self.live = Some(Live { number, connection, writer, room, writing, reading, since, paths, path: None });
        // What is not allowed is found by the same event that tells of it.
        self.path();
    }

    /// Of two connections that were made at the same time, the one that the lower device id dialled lives.
    fn is_preferred(&self, connection: &Connection) -> bool {
        connection.dialled == (self.spec.own.device < self.spec.known.device)
    }

    /// What was meant for a connection that is over is lost with it: the owner may not have heard yet of the one in use.
    fn write(&mut self, number: u64, frame: &Frame) {
        let Some(live) = self.live.as_ref().filter(|live| live.number == number) else { return };
        if !live.write(frame) {
            tracing::debug!("a peer reads too slowly");
            live.connection.close(Bye::LINK);
        }
    }

    fn moved(&mut self, target: Target, expecting: Expecting) {
        self.spec.target = target;
        self.spec.expecting = expecting;
        self.tries = 0;
        // It would not say so if it had the connection that is in use here: that one is dead, and stands in the way of a new one.
        if let Some(live) = self.live.take() {
            live.connection.close(Bye::DOUBLE);
            self.lost();
        }
        // One dial at a time, and not all the time: the other side says where to, and whoever is there has not asked for it.
        if let Some(dialling) = self.dialling.take() {
            dialling.abort();
        }
        let now = Instant::now();
        self.dial_at = self.dialled.map_or(now, |dialled| now.max(dialled + REDIAL.0));
    }

    /// The connection in use ended; answers the reason when the session did.
    fn ended(&mut self, error: &PeerError) -> Option<u32> {
        self.live = None;
        match error {
            PeerError::Closed(reason) if is_final(*reason) => {
                *lock(&self.shown) = None;
                return Some(*reason);
            }
            other => tracing::debug!(error = %other, "a peer's connection was lost"),
        }
        self.lost();
        None
    }

    /// There is no connection any more.
    fn lost(&mut self) {
        *lock(&self.shown) = None;
        self.away_since = Instant::now();
        (self.tell)(PeerEvent::Down);
        self.dial_at = self.away_since + if self.spec.own.device < self.spec.known.device { REDIAL.0 } else { SECOND };
    }

    /// Tells of another path; false when it is not allowed.
    fn path(&mut self) -> bool {
        let Some(live) = &mut self.live else { return true };
        let Some(path) = live.connection.path() else { return true };
        let other = live.path.as_ref().is_none_or(|old| old.direct != path.direct);
        live.path = Some(path.clone());
        let allowed = path.direct.is_some() || !self.spec.direct_only;
        if other && allowed {
            (self.tell)(PeerEvent::Path(path));
        }
        allowed
    }

    /// Says goodbye, behind what was said before.
    async fn end(mut self, reason: u32) {
        let Some(mut live) = self.live.take() else { return };
        *lock(&self.shown) = None;
        live.write(&Frame::new(method::BYE, 0, &Bye { reason }));
        let (closed, _) = mpsc::channel(1);
        live.writer = closed;
        let _ = tokio::time::timeout(LAST_WORDS, &mut live.writing).await;
        live.connection.close(reason);
    }
}

/// Whether a reason ends the session, not only the connection.
fn is_final(reason: u32) -> bool {
    !matches!(reason, Bye::UNKNOWN | Bye::DOUBLE | Bye::RESTART | Bye::LINK | 0)
}

/// What happens to the connection in use.
async fn news(live: &mut Option<Live>) -> Woken {
    let Some(live) = live else { return std::future::pending().await };
    tokio::select! {
        error = live.connection.ended() => Woken::Ended(error),
        () = live.connection.path_changed(&mut live.paths) => Woken::Path,
    }
}

/// Writes what comes, and waits at the end until the peer has all of it.
async fn write_all(mut sender: SendStream, mut writes: mpsc::Receiver<Write>) {
    while let Some((bytes, _share)) = writes.recv().await {
        if sender.write_chunk(bytes).await.is_err() {
            return;
        }
    }
    if sender.finish().is_ok() {
        let _ = sender.stopped().await;
    }
}

/// Reads frames and passes them on; what breaks the protocol ends the connection.
async fn read_all(mut receiver: RecvStream, mut left: BytesMut, number: u64, connection: Connection, tell: Tell) {
    let window = Arc::new(Semaphore::new(PEER_WINDOW));
    loop {
        match frame::decode(&mut left, FRAME_MAX) {
            Ok(Some(frame)) => {
                let share = u32::try_from(frame.size()).unwrap_or(u32::MAX);
                let Ok(permit) = Arc::clone(&window).acquire_many_owned(share).await else { return };
                tell(PeerEvent::Frame(number, frame, permit));
                continue;
            }
            Ok(None) => {}
            Err(_) => {
                tell(PeerEvent::Broken(number));
                return connection.close(Bye::PROTOCOL);
            }
        }
        match receiver.read_chunk(FRAME_MAX).await {
            Ok(Some(chunk)) => left.extend_from_slice(&chunk),
            // The peer says nothing more: its goodbye is the connection's.
            Ok(None) | Err(_) => return,
        }
    }
}

/// Takes streams with bytes of files.
async fn accept_bytes(number: u64, connection: Connection, tell: Tell) {
    while let Ok(mut stream) = connection.accept_bytes().await {
        let tell = Arc::clone(&tell);
        tokio::spawn(async move {
            if let Ok(Some(head)) = tokio::time::timeout(PEER_HELLO_WITHIN, head(&mut stream)).await {
                tell(PeerEvent::Bytes(number, head, stream));
            }
        });
    }
}

async fn head(stream: &mut RecvStream) -> Option<FileBytes> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).await.ok()?;
    let length = usize::try_from(u32::from_be_bytes(length)).ok().filter(|length| *length <= HEAD_MAX)?;
    let mut head = vec![0; length];
    stream.read_exact(&mut head).await.ok()?;
    FileBytes::decode(&head[..]).ok()
}

#[cfg(test)]
mod tests {
    use chat_link::PeerKey;
    use chat_proto::id::{DeviceId, ServerId};
    use chat_proto::peer::{Streams, Welcome};

    use super::*;
    use crate::peer::Peers;

    const SOON: Duration = Duration::from_secs(10);

    struct Side {
        peers: Peers,
        place: Arc<Place>,
        own: Own,
    }

    impl Side {
        async fn new(name: &str, device: u8) -> Side {
            let peers = Peers::new(0, [None; 2]);
            let place = peers.place(false).await.expect("an endpoint");
            let (server, device) = (ServerId([7; 32]), DeviceId([device; 16]));
            let key = Arc::new(PeerKey::generate().expect("a key"));
            Side { peers, place, own: Own { server, session: [1; 16], name: name.into(), device, key } }
        }

        /// This side's session with the other one.
        async fn towards(&self, other: &Side, first: bool) -> Spec {
            Spec {
                own: self.own.clone(),
                known: other.known(),
                place: Arc::clone(&self.place),
                target: other.target().await,
                expecting: self.peers.expect(&other.target().await),
                relay: None,
                first,
                direct_only: false,
            }
        }

        fn known(&self) -> Known {
            Known { name: self.own.name.clone(), device: self.own.device, key: self.own.key.public() }
        }

        async fn target(&self) -> Target {
            Target { endpoint: self.place.id(), addresses: self.place.addresses().await, relay: None }
        }

        async fn meet(&self, other: &Side) -> Talk {
            let connection = self.place.connect(&other.target().await).await.expect("connected");
            hello::meet(connection, &self.own, &other.known()).await.expect("proven")
        }
    }

    /// What the task tells next, but for how its path goes.
    async fn told(events: &mut mpsc::UnboundedReceiver<((), PeerEvent)>) -> PeerEvent {
        loop {
            match tokio::time::timeout(SOON, events.recv()).await.expect("something soon").expect("a task").1 {
                PeerEvent::Path(_) => {}
                other => return other,
            }
        }
    }

    async fn read(talk: &mut Talk) -> Frame {
        loop {
            if let Some(frame) = frame::decode(&mut talk.left, FRAME_MAX).expect("a frame") {
                return frame;
            }
            let chunk = tokio::time::timeout(SOON, talk.receiver.read_chunk(FRAME_MAX)).await.expect("something soon");
            talk.left.extend_from_slice(&chunk.expect("read").expect("not over"));
        }
    }

    async fn say(talk: &mut Talk, frame: &Frame) {
        let mut out = BytesMut::new();
        frame.encode(&mut out);
        talk.sender.write_all(&out).await.expect("written");
    }

    #[tokio::test]
    async fn nothing_goes_over_another_connection_than_it_was_meant_for() {
        let (alice, bob) = (Side::new("alice", 2).await, Side::new("bob", 1).await);
        let spec = alice.towards(&bob, false).await;
        let (tell, mut events) = mpsc::unbounded_channel();
        let session = start(spec, (), tell);
        let _first = bob.meet(&alice).await;
        assert!(matches!(told(&mut events).await, PeerEvent::Up(1)));
        // Both were made at the same time: the second takes the place of the first, and the owner has not heard of it.
        let mut second = bob.meet(&alice).await;
        assert!(matches!(told(&mut events).await, PeerEvent::Up(2)));
        session.tell(Command::Frame(1, Frame::new(method::STREAMS, 0, &Streams::default())));
        session.tell(Command::Frame(2, Frame::new(method::WELCOME, 0, &Welcome::default())));
        assert_eq!(read(&mut second).await.name, method::WELCOME);
        assert!(session.connection(1).is_none() && session.connection(2).is_some());
        say(&mut second, &Frame::new(method::STREAMS, 0, &Streams::default())).await;
        assert!(matches!(told(&mut events).await, PeerEvent::Frame(2, ..)));
    }

    #[tokio::test]
    async fn a_peer_that_moves_all_the_time_is_dialled_at_one_place_at_a_time() {
        let (alice, bob) = (Side::new("alice", 1).await, Side::new("bob", 2).await);
        let mut came = bob.peers.expect(&alice.target().await);
        let spec = alice.towards(&bob, true).await;
        let (tell, _events) = mpsc::unbounded_channel();
        let session = start(spec, (), tell);
        // Nobody there says a word: each dial would go on for as long as a hello may take.
        let within = PEER_HELLO_WITHIN * 3 / 4;
        let mut dial = tokio::time::timeout(SOON, came.next()).await.expect("a dial").expect("an endpoint");
        for _ in 0..5 {
            session.tell(Command::Moved(bob.target().await, alice.peers.expect(&bob.target().await)));
            let next = tokio::time::timeout(SOON, came.next()).await.expect("another").expect("an endpoint");
            tokio::time::timeout(within, dial.ended()).await.expect("the one before is given up");
            dial = next;
        }
    }
}
