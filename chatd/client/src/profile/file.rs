//! The owner's part in files within private sessions: does what the desk decides ([`crate::file::desk`]), and brings it what calls,
//! sessions, frames and jobs say.

use std::path::PathBuf;

use chat_proto::control::ErrorData;
use chat_proto::control::events::Event;
use chat_proto::control::file::{Conflict, File};
use chat_proto::control::private::EndReason;
use chat_proto::fault::Code;
use chat_proto::frame::Frame;
use chat_proto::peer::FileBytes;
use iroh::endpoint::{RecvStream, VarInt};
use tokio::sync::{mpsc, oneshot};

use super::Answer;
use super::owner::{Owner, Then};
use crate::file::desk::{Desk, Do, Job, Now, SessionId, Stop};
use crate::file::job::{self, Flag, Outcome, Sending};
use crate::file::source::Offered;
use crate::file::{Refusal, Setup, target};
use crate::history::Write;
use crate::history::file::{FileWrite, Spot, Transfer};
use crate::peer::Connection;
use crate::runner::Opener;

/// Texts go before bytes of files.
const BEHIND_TEXTS: i32 = -1;

/// What an owner is asked about files.
pub enum FileAsk {
    /// Is the peer reached now? Answered before a file is read for it.
    Ready(String, oneshot::Sender<Answer<()>>),
    /// Offer a file.
    Offer {
        /// To whom.
        peer: String,
        /// Where it lies.
        path: PathBuf,
        /// What it is.
        file: Offered,
        /// The answer.
        reply: oneshot::Sender<Answer<File>>,
    },
    /// All files, oldest first.
    List(oneshot::Sender<Answer<Vec<File>>>),
    /// One of them, and where it would go.
    Look {
        /// An id or an unambiguous end of it.
        id: String,
        /// It is kept for its taker.
        hold: bool,
        /// What happens when its name is taken.
        conflict: Conflict,
        /// The answer.
        reply: oneshot::Sender<Answer<(Transfer, Spot)>>,
    },
    /// Take an offered file.
    Accept {
        /// An id or an unambiguous end of it.
        id: String,
        /// It is kept for its taker.
        hold: bool,
        /// What happens when its name is taken.
        conflict: Conflict,
        /// The answer.
        reply: oneshot::Sender<Answer<File>>,
    },
    /// A file that was kept for its taker lies there now, or nowhere.
    Taken(String, Option<PathBuf>, oneshot::Sender<Answer<File>>),
    /// Say no.
    Decline(String, oneshot::Sender<Answer<File>>),
    /// Give it up.
    Cancel(String, oneshot::Sender<Answer<File>>),
}

/// The files of a profile.
pub(super) struct Files {
    desk: Desk,
    news: mpsc::UnboundedSender<(Job, Outcome)>,
    ended: mpsc::UnboundedReceiver<(Job, Outcome)>,
}

impl Files {
    pub fn new(setup: Setup, kept: Vec<Transfer>) -> Files {
        let (news, ended) = mpsc::unbounded_channel();
        Files { desk: Desk::new(setup, kept), news, ended }
    }

    /// The end of a job; comes never when there is none.
    pub async fn ended(&mut self) -> (Job, Outcome) {
        match self.ended.recv().await {
            Some(ended) => ended,
            None => std::future::pending().await,
        }
    }

    /// When followers are told next how far transfers are, in milliseconds of the clock that never jumps.
    pub fn poll_timeout(&self) -> Option<u64> {
        self.desk.poll_timeout()
    }
}

impl Owner {
    pub fn file_asked(&mut self, ask: FileAsk) {
        if !matches!(ask, FileAsk::Ready(..) | FileAsk::List(_) | FileAsk::Look { .. }) {
            self.active();
        }
        let desk = &mut self.files.desk;
        // Whoever asked may have gone.
        match ask {
            FileAsk::Ready(peer, reply) => {
                let _ = reply.send(self.file_peer(&peer));
            }
            FileAsk::Offer { peer, path, file, reply } => {
                let _ = reply.send(self.file_offer(&peer, path, file));
            }
            FileAsk::List(reply) => {
                let _ = reply.send(Ok(desk.list()));
            }
            FileAsk::Look { id, hold, conflict, reply } => {
                let found = desk.find(&id).map(|found| (found.clone(), desk.spot(found, hold, conflict)));
                let _ = reply.send(found.map_err(|refusal| refusal.about(&id)));
            }
            FileAsk::Accept { id, hold, conflict, reply } => {
                let peer = desk.find(&id).map(|found| found.peer.clone());
                let accepted = desk.accept(&id, hold, conflict).map_err(|refusal| match (refusal.code, peer) {
                    (Code::PEER_UNREACHABLE, Ok(peer)) => self.file_peer(&peer).err().unwrap_or(refusal.about(&peer)),
                    _ => refusal.about(&id),
                });
                let _ = reply.send(accepted);
            }
            FileAsk::Taken(id, path, reply) => {
                let _ = reply.send(desk.taken(&id, path).map_err(|refusal| refusal.about(&id)));
            }
            FileAsk::Decline(id, reply) => {
                let _ = reply.send(desk.decline(&id).map_err(|refusal| refusal.about(&id)));
            }
            FileAsk::Cancel(id, reply) => {
                let _ = reply.send(desk.cancel(&id).map_err(|refusal| refusal.about(&id)));
            }
        }
        self.file_work();
    }

    /// Refuses where there is no session with this peer, or no connection in it now.
    fn file_peer(&self, peer: &str) -> Answer<()> {
        let code = match self.files.desk.meets(peer) {
            true => return Ok(()),
            false if self.private.with(peer).is_some() => Code::PEER_UNREACHABLE,
            false => Code::NO_SESSION,
        };
        Err(Box::new(ErrorData { subject: Some(peer.to_owned()), ..code.into() }))
    }

    fn file_offer(&mut self, peer: &str, path: PathBuf, file: Offered) -> Answer<File> {
        self.file_peer(peer)?;
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|error| Refusal::new(Code::INTERNAL, error).about(peer))?;
        let now = self.file_now();
        let shown = path.to_string_lossy().into_owned();
        self.files.desk.offer(peer, path, file, id, now).map_err(|refusal| refusal.about(&shown))
    }

    /// A session's connection is proven, for the first time or again.
    pub fn file_up(&mut self, session: &SessionId) {
        let now = self.file_now();
        let Some((peer, device)) = self.private.talk(session).map(|talk| (talk.peer.clone(), talk.device)) else {
            return;
        };
        self.files.desk.up(*session, &peer, device, self.entry.classic, now);
        self.file_work();
    }

    /// A session's connection is lost.
    pub fn file_down(&mut self, session: &SessionId) {
        self.files.desk.down(*session);
        self.file_work();
    }

    /// A session is over.
    pub fn file_session_ended(&mut self, session: &SessionId, reason: EndReason, by_peer: bool) {
        let stop = match reason {
            EndReason::Link | EndReason::NoDirectPath | EndReason::Other => Stop::Lost,
            EndReason::You
            | EndReason::Peer
            | EndReason::Logout
            | EndReason::Idle
            | EndReason::Time
            | EndReason::Identity => Stop::Ended { by_peer },
        };
        self.files.desk.ended(*session, stop);
        self.file_work();
    }

    /// The peer said something about files. An error breaks the protocol.
    pub fn file_frame(&mut self, session: &SessionId, frame: &Frame) -> Result<(), prost::DecodeError> {
        let now = self.file_now();
        let done = self.files.desk.frame(*session, frame, now);
        self.file_work();
        done
    }

    /// A stream with bytes of a file came; one that nobody asked for is stopped.
    pub fn file_bytes(&mut self, session: &SessionId, head: &FileBytes, mut stream: RecvStream) {
        match self.files.desk.bytes(*session, head) {
            Some(arriving) => {
                let news = self.files.news.clone();
                tokio::spawn(async move {
                    let outcome = job::receive(stream, arriving.part, arriving.sha256, arriving.flag).await;
                    // The owner may have ended.
                    let _ = news.send((arriving.job, outcome));
                });
            }
            None => {
                let _ = stream.stop(VarInt::from_u32(0));
            }
        }
        self.file_work();
    }

    /// A job ended.
    pub fn file_job_ended(&mut self, (job, outcome): (Job, Outcome)) {
        self.files.desk.job_ended(job, outcome, self.around.world.mono_ms());
        self.file_work();
    }

    /// What was to be written down of these is committed, or there was no room for it.
    pub fn file_kept(&mut self, ids: &[[u8; 16]], is_kept: bool) {
        self.files.desk.kept(ids, is_kept, self.around.world.mono_ms());
        self.file_work();
    }

    /// Tells how far transfers are, when it is time.
    pub fn file_time(&mut self) {
        self.files.desk.tick(self.around.world.mono_ms());
        self.file_work();
    }

    fn file_now(&self) -> Now {
        Now { wall_ms: self.around.world.now_ms(), mono_ms: self.around.world.mono_ms() }
    }

    /// Does what the desk decided.
    fn file_work(&mut self) {
        let mut writes = Vec::new();
        while let Some(one) = self.files.desk.poll() {
            match one {
                Do::Keep(write) => writes.push(write),
                Do::Say(session, frame) => {
                    if let Some(talk) = self.private.talk(&session) {
                        talk.say(frame);
                    }
                }
                Do::TellOffer(file) => self.tell(0, Event::FileOffer(file)),
                Do::Tell(file) => self.tell(0, Event::File(file)),
                Do::Open(job, wanted, flag) => {
                    let news = self.files.news.clone();
                    tokio::spawn(async move {
                        let _ = news.send((job, job::open(wanted, flag).await));
                    });
                }
                Do::Send(session, job, sending, flag) => {
                    let (news, connection) =
                        (self.files.news.clone(), self.private.talk(&session).and_then(|talk| talk.connection()));
                    let opener = self.around.opener.clone();
                    tokio::spawn(async move {
                        let _ = news.send((job, send(connection, sending, opener, flag).await));
                    });
                }
                Do::RemovePart(spot, id) => {
                    tokio::task::spawn_blocking(move || target::remove_part(&spot, &crate::file::shown_id(&id)));
                }
                Do::RemoveHeld(spot) => {
                    tokio::task::spawn_blocking(move || target::remove_held(&spot));
                }
            }
        }
        if !writes.is_empty() {
            let ids = writes.iter().map(FileWrite::id).collect();
            self.submit(Write::Files(writes), Then::Files(ids));
        }
    }
}

/// Sends a file's bytes on a stream of their own. One that does not get to the file's end is broken off, never ended.
async fn send(connection: Option<Connection>, sending: Sending, opener: Opener, flag: std::sync::Arc<Flag>) -> Outcome {
    let Some(connection) = connection else { return Outcome::Broken };
    let opened = tokio::select! {
        opened = connection.open_bytes() => opened,
        () = flag.stopped() => return Outcome::Broken,
    };
    let Ok(mut stream) = opened else { return Outcome::Broken };
    // A stream that is gone needs no order any more.
    let _ = stream.set_priority(BEHIND_TEXTS);
    match job::send(&mut stream, sending, opener, flag).await {
        Outcome::Sent if stream.finish().is_ok() => Outcome::Sent,
        Outcome::Sent => Outcome::Broken,
        outcome => {
            let _ = stream.reset(VarInt::from_u32(0));
            outcome
        }
    }
}
