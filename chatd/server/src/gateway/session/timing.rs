//! The clocks of a session: does the client live, does it read, does its user do something. One sleep for all, moved lazily,
//! so that a busy session does not touch the timer and an idle one wakes twice a minute (performance row 8).

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::time::Duration;

use chat_link::{Link, LinkError};
use chat_proto::fault::Code;
use chat_proto::frame::Frame;
use chat_proto::limits;
use chat_proto::method;
use chat_proto::wire;
use tokio::time::{Instant, Sleep};

use super::{End, HowEnded, Session};
use crate::config::Idle;
use crate::store::Store;

/// PINGs that may stay without an answer.
const MISSES: u32 = 2;

/// When what is due.
pub(super) struct Timing {
    sleep: Pin<Box<Sleep>>,
    /// The client was last heard then.
    heard: Instant,
    /// PINGs since then, and when the last one went out.
    pings: u32,
    pinged: Instant,
}

/// Whether the client takes what is written to it.
pub(super) struct Progress {
    /// Output moved then, or there was none.
    at: Instant,
    written: u64,
}

impl Progress {
    pub(super) fn new() -> Progress {
        Progress { at: Instant::now(), written: 0 }
    }

    /// Looks whether output moves.
    pub(super) fn look(&mut self, link: &Link) {
        if link.queued() == 0 || link.written() != self.written {
            self.written = link.written();
            self.at = Instant::now();
        }
    }

    /// Writes, and looks whenever the socket took something: a wait may be long, and what moved at its beginning is no progress at
    /// its end.
    pub(super) async fn flush(&mut self, link: &mut Link) -> Result<(), LinkError> {
        poll_fn(|cx| {
            let polled = pin!(link.flush()).poll(cx);
            self.look(link);
            polled
        })
        .await
    }

    /// As [`Progress::flush`], and waits for a frame.
    pub(super) async fn recv(&mut self, link: &mut Link) -> Result<Option<Frame>, LinkError> {
        poll_fn(|cx| {
            let polled = pin!(link.recv_while_flushing()).poll(cx);
            self.look(link);
            polled
        })
        .await
    }
}

impl Timing {
    pub(super) fn new() -> Timing {
        let now = Instant::now();
        Timing {
            sleep: Box::pin(tokio::time::sleep_until(now + limits::PING_AFTER)),
            heard: now,
            pings: 0,
            pinged: now,
        }
    }

    /// The client was heard.
    pub(super) fn heard(&mut self) {
        self.heard = Instant::now();
        self.pings = 0;
    }

    /// Makes sure that the sleep ends early enough. One that ends too early is looked at when it does.
    pub(super) fn arm(&mut self, link: &Link, progress: &Progress) {
        let stalled = (link.queued() > 0).then(|| progress.at + limits::SLOW_READER);
        let due = stalled.map_or(self.next_ping(), |at| at.min(self.next_ping()));
        if self.sleep.is_elapsed() || due < self.sleep.deadline() {
            self.sleep.as_mut().reset(due);
        }
    }

    fn next_ping(&self) -> Instant {
        if self.pings == 0 { self.heard + limits::PING_AFTER } else { self.pinged + limits::PONG_WITHIN }
    }

    /// Something may be due now.
    pub(super) fn is_due(&self) -> bool {
        self.sleep.is_elapsed()
    }

    /// Waits until something is due.
    pub(super) async fn due(&mut self) {
        self.sleep.as_mut().await;
    }
}

impl<S: Store> Session<S> {
    /// Something may be due.
    pub(super) async fn time(&mut self) -> Result<(), End> {
        let now = Instant::now();
        if self.link.queued() > 0 && now >= self.progress.at + limits::SLOW_READER {
            return Err(End::Over { code: Code::SLOW_READER, may_reconnect: true, how: Some(HowEnded::Lost) });
        }
        if now >= self.timing.next_ping() {
            if self.timing.pings >= MISSES {
                return Err(End::Gone);
            }
            self.ping();
        }
        self.idle()?;
        self.tell_cursor().await;
        Ok(())
    }

    /// Asks the client whether it lives.
    pub(super) fn ping(&mut self) {
        self.timing.pings += 1;
        self.timing.pinged = Instant::now();
        self.link.queue(&Frame::new(method::PING, 0, &wire::Empty {}));
    }

    /// Logs out whose user did nothing for too long; else the sleep is to end when that may be.
    fn idle(&mut self) -> Result<(), End> {
        match self.idle_left() {
            None => Ok(()),
            Some(Duration::ZERO) => {
                Err(End::Over { code: Code::IDLE, may_reconnect: false, how: Some(HowEnded::Idle) })
            }
            Some(left) => {
                let at = (Instant::now() + left).min(self.timing.next_ping());
                self.timing.sleep.as_mut().reset(at);
                Ok(())
            }
        }
    }

    /// How long until the user is logged out for doing nothing; a reload may change it while the session is open.
    fn idle_left(&self) -> Option<Duration> {
        let settings = &self.gateway.live.get().sessions;
        let idle = Duration::from_millis(self.gateway.clock.mono_ms().saturating_sub(self.mailbox.active_ms()));
        (settings.idle == Idle::Logout).then(|| settings.idle_after.saturating_sub(idle))
    }

    /// Looks at the idle clock for the first time.
    pub(super) fn start_idle_clock(&mut self) {
        // An end that is due already comes with the first turn of the clock.
        if self.idle().is_err() {
            self.timing.sleep.as_mut().reset(Instant::now());
        }
    }
}
