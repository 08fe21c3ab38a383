//! How a daemon ends: one signal that everybody hears, and a wait until everybody has gone.
//!
//! The assembly makes one [`Shutdown`], gives clones to all tasks, and turns the system's signals into it.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The stop signal and the tasks that heed it. Clones share both.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    begun: CancellationToken,
    now: CancellationToken,
    tasks: TaskTracker,
}

impl Shutdown {
    /// Nothing has begun, nothing runs.
    pub fn new() -> Shutdown {
        Shutdown::default()
    }

    /// Asks everybody to finish.
    pub fn begin(&self) {
        self.begun.cancel();
        self.tasks.close();
    }

    /// Asks everybody to drop everything.
    pub fn now(&self) {
        self.begin();
        self.now.cancel();
    }

    /// Whether it has begun.
    pub fn has_begun(&self) -> bool {
        self.begun.is_cancelled()
    }

    /// Waits until it begins.
    pub async fn begun(&self) {
        self.begun.cancelled().await;
    }

    /// The signal alone, for code that waits on a token.
    pub fn token(&self) -> CancellationToken {
        self.begun.clone()
    }

    /// Starts a task whose end the shutdown waits for.
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tasks.spawn(task)
    }

    /// Waits until every task has ended, at most `grace`, and not at all once [`Shutdown::now`] was called. Says whether
    /// all ended.
    pub async fn finished(&self, grace: Duration) -> bool {
        self.tasks.close();
        tokio::select! {
            biased;
            () = self.tasks.wait() => true,
            () = self.now.cancelled() => false,
            () = tokio::time::sleep(grace) => false,
        }
    }
}

/// What the system asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Finish; the shutdown has begun already.
    Stop,
    /// Finish at once: the second request.
    StopNow,
    /// Read the configuration anew.
    Reload,
    /// Write a summary of the state to the log.
    State,
}

/// The signals of the process as events.
#[derive(Debug)]
pub struct Signals {
    sources: Sources,
    shutdown: Shutdown,
}

/// Listens to TERM, INT, HUP and USR1. Must be called within a runtime, before the daemon says that it is ready.
pub fn signals(shutdown: &Shutdown) -> io::Result<Signals> {
    Ok(Signals { sources: Sources::new()?, shutdown: shutdown.clone() })
}

impl Signals {
    /// The next event. Begins the shutdown by itself, so that nobody can forget.
    pub async fn next(&mut self) -> Event {
        match self.sources.next().await {
            Event::Stop if self.shutdown.has_begun() => {
                self.shutdown.now();
                Event::StopNow
            }
            Event::Stop => {
                self.shutdown.begin();
                Event::Stop
            }
            other => other,
        }
    }
}

#[cfg(unix)]
#[derive(Debug)]
struct Sources {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
    user: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Sources {
    fn new() -> io::Result<Sources> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Sources {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            user: signal(SignalKind::user_defined1())?,
        })
    }

    async fn next(&mut self) -> Event {
        tokio::select! {
            _ = self.terminate.recv() => Event::Stop,
            _ = self.interrupt.recv() => Event::Stop,
            _ = self.hangup.recv() => Event::Reload,
            _ = self.user.recv() => Event::State,
        }
    }
}

#[cfg(windows)]
#[derive(Debug)]
struct Sources {
    interrupt: tokio::signal::windows::CtrlC,
    shutdown: tokio::signal::windows::CtrlShutdown,
}

#[cfg(windows)]
impl Sources {
    fn new() -> io::Result<Sources> {
        Ok(Sources { interrupt: tokio::signal::windows::ctrl_c()?, shutdown: tokio::signal::windows::ctrl_shutdown()? })
    }

    async fn next(&mut self) -> Event {
        tokio::select! {
            _ = self.interrupt.recv() => Event::Stop,
            _ = self.shutdown.recv() => Event::Stop,
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use rustix::process::{Signal, getpid, kill_process};

    const LONG: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn tasks_are_waited_for() {
        let shutdown = Shutdown::new();
        let heeds = shutdown.clone();
        shutdown.spawn(async move { heeds.begun().await });
        assert!(!shutdown.has_begun());
        shutdown.begin();
        assert!(shutdown.finished(LONG).await);
    }

    #[tokio::test]
    async fn now_does_not_wait() {
        let shutdown = Shutdown::new();
        shutdown.spawn(std::future::pending::<()>());
        assert!(!shutdown.finished(Duration::from_millis(1)).await);
        shutdown.now();
        assert!(!shutdown.finished(LONG).await);
    }

    #[tokio::test]
    async fn signals_become_events() {
        let shutdown = Shutdown::new();
        let mut signals = signals(&shutdown).unwrap();
        let steps = [
            (Signal::HUP, Event::Reload),
            (Signal::USR1, Event::State),
            (Signal::TERM, Event::Stop),
            (Signal::INT, Event::StopNow),
        ];
        for (signal, event) in steps {
            kill_process(getpid(), signal).unwrap();
            assert_eq!(signals.next().await, event);
        }
        assert!(shutdown.has_begun());
    }
}
