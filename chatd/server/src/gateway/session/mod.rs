//! One session: one task, one loop. Frames come in and become operations; what its mailbox and the store hold goes out.
//!
//! Every turn gathers all output and then waits for input, the bell or the time; the wait itself writes (performance.md:
//! one write a wake-up). Nothing here decides about messages: the store does. Started by the gateway's handshake.

mod input;
mod output;
mod private;
mod timing;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chat_link::{Link, LinkError};
use chat_proto::fault::Code;
use chat_proto::frame::Frame;
use chat_proto::id::{Incarnation, Position};
use chat_proto::machine::hello::Epochs;
use chat_proto::machine::inbox::Feed;
use chat_proto::machine::presence::Reason;
use chat_proto::{status, wire};
use tokio::sync::mpsc;

use super::Gateway;
use super::mailbox::Mailbox;
use crate::rate::Bucket;
use crate::store::{Ending, Fence, Login, Op, Opened, Store};
use timing::{Progress, Timing};

/// How long verdicts of sends that were read are waited for when the server shuts down.
const LAST_VERDICTS: Duration = Duration::from_secs(1);

/// A session that is open.
pub(super) struct Session<S: Store> {
    gateway: Arc<Gateway<S>>,
    link: Link,
    mailbox: Arc<Mailbox>,
    login: Login,
    fence: Fence,
    /// What the device was given of its inbox.
    feed: Feed,
    /// Where the feed began, as the client was told: its first `prev` (contract rule 4).
    start: (u64, Position),
    epochs: Arc<Epochs>,
    /// The store holds entries behind the feed's position that the mailbox does not have.
    catching: bool,
    /// The cursor that the store knows.
    cursor_told: u64,
    /// Streams that were told of a gap and have not come back to it.
    gaps: Vec<(Incarnation, u64)>,
    /// Sends without a verdict yet, about.
    undecided: usize,
    /// Sends are dropped until then: the client was told to try later.
    quiet_until: u64,
    /// How many were, since it was told.
    ignored: u64,
    /// How often in a row it sent on as if it had not been told.
    floods: u32,
    /// The account's bucket of sends.
    sending: Arc<Mutex<Bucket>>,
    /// Moves of its private sessions that it may still tell.
    moves: Bucket,
    /// Who wants to know when the client is heard.
    probes: Vec<mpsc::Sender<()>>,
    timing: Timing,
    progress: Progress,
}

/// Why a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The client is gone, or the link is.
    Gone,
    /// We end it and say why.
    Over {
        /// Why.
        code: Code,
        /// The client may come back by itself.
        may_reconnect: bool,
        /// How the store is to end it; nothing when it knows already.
        how: Option<HowEnded>,
    },
}

/// What the store is told of an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HowEnded {
    /// By the server, after a time without activity.
    Idle,
    /// By an operator.
    Kicked,
    /// The link was lost, or is as good as lost.
    Lost,
}

impl End {
    /// The client broke the protocol: its state is unchanged, it may try again after a repair.
    pub(super) fn protocol() -> End {
        End::Over { code: Code::PROTOCOL, may_reconnect: false, how: Some(HowEnded::Lost) }
    }

    /// The store is closing or does not answer.
    pub(super) fn storage() -> End {
        End::Over { code: Code::SHUTTING_DOWN, may_reconnect: true, how: None }
    }
}

impl From<LinkError> for End {
    fn from(error: LinkError) -> End {
        match error {
            LinkError::Frame(_) => End::protocol(),
            LinkError::Tls(_) | LinkError::Cut | LinkError::Io(_) => End::Gone,
        }
    }
}

/// What woke the session.
enum Woken {
    Frame(Frame),
    Bell,
    Time,
}

impl<S: Store> Session<S> {
    pub(super) fn new(
        gateway: Arc<Gateway<S>>,
        link: Link,
        mailbox: Arc<Mailbox>,
        fence: Fence,
        opened: &Opened,
        sending: Arc<Mutex<Bucket>>,
    ) -> Session<S> {
        let epochs = gateway.store.epochs();
        let moves = Bucket::full(private::moves(), gateway.clock.mono_ms());
        let first = opened.welcome.cursor.map_or_else(|| epochs.position(opened.cursor), Position::from);
        Session {
            login: mailbox.login().clone(),
            feed: Feed::new(opened.cursor),
            start: (opened.cursor, first),
            cursor_told: opened.cursor,
            timing: Timing::new(),
            progress: Progress::new(),
            epochs,
            gateway,
            link,
            mailbox,
            fence,
            catching: true,
            gaps: Vec::new(),
            undecided: 0,
            quiet_until: 0,
            ignored: 0,
            floods: 0,
            sending,
            moves,
            probes: Vec::new(),
        }
    }

    /// Serves the client until one of the two leaves.
    pub(super) async fn run(mut self) {
        self.start_idle_clock();
        let end = loop {
            if let Err(end) = self.turn().await {
                break end;
            }
        };
        self.leave(end).await;
    }

    async fn turn(&mut self) -> Result<(), End> {
        self.progress.look(&self.link);
        // Looked at in every turn: frames that never cease must not keep what is due from being seen.
        if self.timing.is_due() {
            self.time().await?;
        }
        self.collect().await?;
        self.timing.arm(&self.link, &self.progress);
        match self.wait().await? {
            Woken::Frame(frame) => {
                self.heard();
                self.take_in(frame).await
            }
            Woken::Bell | Woken::Time => Ok(()),
        }
    }

    fn heard(&mut self) {
        self.timing.heard();
        for told in std::mem::take(&mut self.probes) {
            // A place for one word is enough for many: somebody lives.
            let _ = told.try_send(());
        }
    }

    /// Waits for input, the bell or the time, and meanwhile writes. A reader who is too far behind is not read from either:
    /// answers would pile up (S21).
    ///
    /// The bell comes last: every turn empties the mailbox anyway, so a mailbox that fills all the time starves nobody.
    async fn wait(&mut self) -> Result<Woken, End> {
        if self.is_stalled() {
            return tokio::select! {
                biased;
                flushed = self.progress.flush(&mut self.link) => Ok(flushed.map(|()| Woken::Bell)?),
                () = self.timing.due() => Ok(Woken::Time),
                () = self.mailbox.rung() => Ok(Woken::Bell),
            };
        }
        if let Some(pause) = self.pause() {
            let waits = self.link.queued() > 0;
            return tokio::select! {
                biased;
                flushed = self.progress.flush(&mut self.link), if waits => Ok(flushed.map(|()| Woken::Bell)?),
                () = tokio::time::sleep(pause) => Ok(Woken::Time),
                () = self.timing.due() => Ok(Woken::Time),
                () = self.mailbox.rung() => Ok(Woken::Bell),
            };
        }
        tokio::select! {
            biased;
            frame = self.progress.recv(&mut self.link) => match frame? {
                Some(frame) => Ok(Woken::Frame(frame)),
                None => Err(End::Gone),
            },
            () = self.timing.due() => Ok(Woken::Time),
            () = self.mailbox.rung() => Ok(Woken::Bell),
        }
    }

    /// Says the last words, in the order that others may rely on: the store knows first.
    async fn leave(mut self, end: End) {
        let how = match end {
            End::Gone => Some(HowEnded::Lost),
            End::Over { how, .. } => how,
        };
        self.tell_cursor().await;
        if let Some(how) = how {
            self.close(how).await;
        }
        if let End::Over { code: Code::SHUTTING_DOWN, .. } = end {
            self.last_verdicts().await;
        }
        // From here on nothing comes for it; what came is told.
        self.gateway.directory.remove(self.fence.session, self.gateway.clock.mono_ms());
        self.audit(end);
        if let End::Over { code, may_reconnect, .. } = end {
            self.tell_verdicts();
            self.link.queue(&Frame::new(status::END, 0, &wire::Bye { code: code.0, may_reconnect, after_ms: 0 }));
            self.link.close().await;
        }
    }

    async fn close(&self, how: HowEnded) {
        let how = match how {
            HowEnded::Idle => Ending::Left(Reason::Idle),
            HowEnded::Kicked => Ending::Left(Reason::Kicked),
            HowEnded::Lost => Ending::Lost {
                grace_until: self.gateway.clock.mono_ms().saturating_add(self.gateway.live.get().sessions.grace_ms),
            },
        };
        let now_ms = self.gateway.clock.wall_ms();
        self.gateway.store.submit(Op::Close { fence: self.fence, how, all_devices: false, now_ms, answer: None }).await;
    }

    /// At a shutdown the writer goes on a little: what it decided now need not be asked for after the restart.
    async fn last_verdicts(&mut self) {
        let _ = tokio::time::timeout(LAST_VERDICTS, async {
            while self.undecided > 0 {
                self.mailbox.rung().await;
                self.tell_verdicts();
            }
        })
        .await;
    }

    fn audit(&self, end: End) {
        self.gateway.metrics.ended(match end {
            End::Gone => "link_lost",
            End::Over { code: Code::ACCEPTED, .. } => "logout",
            End::Over { code, .. } => code.name(),
        });
        let peer = self.link.peer_addr();
        let name = self.login.name.as_str();
        match end {
            End::Gone => self.gateway.audit.line(peer, name, format_args!("link lost: account {name}")),
            End::Over { code: Code::ACCEPTED, .. } => {
                self.gateway.audit.line(peer, name, format_args!("logged out: account {name}"));
            }
            End::Over { code, .. } => {
                self.gateway.audit.line(peer, name, format_args!("session ended, {}: account {name}", code.name()));
            }
        }
    }
}
