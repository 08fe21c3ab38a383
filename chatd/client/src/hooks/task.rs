//! The task of a profile's hooks: what wakes it, what it does then. It decides nothing itself ([`Schedule`] does).

use std::sync::Arc;
use std::time::Duration;

use chat_proto::control::account::LinkState;
use chat_proto::control::hooks::{Occasion, Outcome};
use chat_proto::display;
use chat_proto::limits::HOOK_LOG_LINES;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::notice::{self, Notice};
use super::run::Report;
use super::schedule::{Counts, HookNo, Schedule, Start};
use super::{Around, Begun};
use crate::config::Hook;
use crate::history::hooks::{Arrival, HookWrite, Letter, Told};
use crate::history::{Trouble, Write};
use crate::profile::{self, Published, View};
use crate::shown;
use crate::upstream::is_among;

/// Questions that wait for the task: as many as there are control connections.
pub const ASKS: usize = chat_proto::limits::CONTROL_CONNECTIONS;
/// A profile that closes gives its hooks so long.
const CLOSE_WITHIN: Duration = Duration::from_millis(1500);
/// The task wakes at least so often, for nothing; a day.
const IDLE: Duration = Duration::from_secs(24 * 3600);

/// What the task is asked.
pub enum Ask {
    /// How does each hook stand?
    Counts(oneshot::Sender<Vec<Counts>>),
    /// These letters live again.
    Replay(Vec<Letter>),
    /// End; answered when nothing runs any more.
    Close(oneshot::Sender<()>),
}

/// What woke it.
enum Woken {
    Ended(HookNo, Report),
    Happened(Result<Arc<Published>, RecvError>),
    Viewed(bool),
    Asked(Option<Ask>),
    Time,
}

/// Everything of a profile's hooks that changes.
pub struct Task {
    around: Around,
    hooks: Arc<Vec<Hook>>,
    schedule: Schedule,
    runs: JoinSet<(HookNo, Report)>,
    /// The newest place of the history that is known.
    head: u64,
    /// The account was logged in when it was last looked at.
    logged_in: bool,
}

impl Task {
    pub fn new(begun: Begun, around: Around) -> Task {
        let logged_in = around.views.borrow().link != LinkState::LoggedOut;
        let (hooks, schedule) = (Arc::new(begun.hooks), begun.schedule);
        Task { around, hooks, schedule, runs: JoinSet::new(), head: 0, logged_in }
    }

    /// Runs until it is closed, or the profile's owner has ended.
    pub async fn run(mut self, mut asks: mpsc::Receiver<Ask>) {
        self.look().await;
        loop {
            self.scan().await;
            self.start_all();
            match self.wake(&mut asks).await {
                Woken::Ended(hook, report) => self.ended(hook, report).await,
                Woken::Happened(Ok(published)) => self.happened(&published),
                Woken::Happened(Err(RecvError::Lagged(count))) => {
                    self.schedule.handle_lagged(count);
                    self.look().await;
                }
                Woken::Viewed(true) => self.viewed(),
                Woken::Asked(Some(Ask::Counts(reply))) => {
                    let counts = (0..self.hooks.len()).map(|hook| self.schedule.counts(hook));
                    // Whoever asked may have gone.
                    let _ = reply.send(counts.collect());
                }
                Woken::Asked(Some(Ask::Replay(letters))) => {
                    self.schedule.handle_replayed(letters, self.around.world.mono_ms());
                }
                Woken::Asked(Some(Ask::Close(reply))) => {
                    let _ = timeout(CLOSE_WITHIN, self.finish()).await;
                    self.runs.shutdown().await;
                    let _ = reply.send(());
                    return;
                }
                Woken::Time => {}
                Woken::Asked(None) | Woken::Viewed(false) | Woken::Happened(Err(RecvError::Closed)) => return,
            }
        }
    }

    async fn wake(&mut self, asks: &mut mpsc::Receiver<Ask>) -> Woken {
        let now = self.around.world.mono_ms();
        let wait = self.schedule.poll_timeout().map_or(IDLE, |at| Duration::from_millis(at.saturating_sub(now)));
        let running = !self.runs.is_empty();
        tokio::select! {
            ended = self.runs.join_next(), if running => match ended {
                Some(Ok((hook, report))) => Woken::Ended(hook, report),
                _ => Woken::Time,
            },
            event = self.around.events.recv() => Woken::Happened(event),
            changed = self.around.views.changed() => Woken::Viewed(changed.is_ok()),
            ask = asks.recv() => Woken::Asked(ask),
            () = sleep_until(Instant::now() + wait) => Woken::Time,
        }
    }

    /// Finds out what is the newest message.
    async fn look(&mut self) {
        match self.around.reader.ask(|history| history.head()).await {
            Ok(head) => self.head = head,
            Err(error) => self.unreadable(&error),
        }
    }

    /// Looks for messages that hooks wait for.
    async fn scan(&mut self) {
        while let Some((hook, after, room)) = self.schedule.poll_scan(self.head) {
            let found = self.around.reader.ask(move |history| history.arrivals(after, room)).await;
            let (arrivals, upto) = match found {
                Ok(found) => found,
                Err(error) => return self.unreadable(&error),
            };
            // Never behind what was asked for, or the same would be asked for ever.
            let upto = upto.max(if arrivals.len() < room { self.head } else { after });
            let wanted = |arrival: &Arrival| self.concerns(&self.hooks[hook], Some(&arrival.from));
            let wanted = arrivals.iter().filter(|arrival| wanted(arrival)).map(|arrival| arrival.index).collect();
            if let Some(write) = self.schedule.handle_scanned(hook, wanted, upto) {
                self.keep(write).await;
            }
        }
    }

    /// Whether a hook wants what this person caused.
    fn concerns(&self, hook: &Hook, person: Option<&str>) -> bool {
        let classic = self.around.views.borrow().classic;
        hook.from.is_empty() || person.is_some_and(|person| is_among(&hook.from, person, classic))
    }

    fn start_all(&mut self) {
        while let Some(Start { hook, told }) = self.schedule.poll_start(self.around.world.mono_ms()) {
            let (setup, reader) = (Arc::clone(&self.around.setup), self.around.reader.clone());
            let (profile, hooks) = (self.around.profile.clone(), Arc::clone(&self.hooks));
            self.runs.spawn(async move {
                let notice = match told {
                    Told::Said { object, from } => Notice { object, from: from.unwrap_or_default(), id: String::new() },
                    Told::Message(index) => match reader.ask(move |history| history.row(index)).await {
                        Ok(Some(row)) => notice::message(&shown::message(row)),
                        // It was erased: there is nothing left to tell.
                        Ok(None) => return (hook, Report::of(Outcome::Exited { code: 0 })),
                        Err(error) => return (hook, Report::of(Outcome::not_started(&error))),
                    },
                };
                let _permit = setup.permits.acquire().await;
                (hook, setup.run(&profile, &hooks[hook], notice).await)
            });
        }
    }

    async fn ended(&mut self, hook: HookNo, report: Report) {
        self.log(&self.hooks[hook].name, &report);
        let world = self.around.world;
        let write = self.schedule.handle_ended(hook, report.outcome, world.mono_ms(), world.now_ms());
        if let Some(write) = write {
            self.keep(write).await;
        }
    }

    fn log(&self, hook: &str, report: &Report) {
        let (profile, took_ms) = (self.around.profile.as_str(), report.took.as_millis());
        if report.outcome.is_success() {
            tracing::debug!(profile, hook, took_ms, "a hook ran");
        } else {
            tracing::warn!(profile, hook, took_ms, "a hook failed: {}", how(&report.outcome));
        }
        for line in report.output.lines().take(HOOK_LOG_LINES) {
            tracing::info!(profile, hook, "printed: {}", display::line(line));
        }
    }

    fn happened(&mut self, published: &Published) {
        self.head = self.head.max(published.index);
        if let Some((occasion, object, from)) = notice::news(&published.event) {
            self.tell(occasion, &object, from.as_deref());
        }
    }

    /// A login is news once the account is online; a logout at once.
    fn viewed(&mut self) {
        let view: View = self.around.views.borrow_and_update().clone();
        let changed = match view.link {
            LinkState::Online => !self.logged_in,
            LinkState::LoggedOut => self.logged_in,
            LinkState::Connecting | LinkState::Waiting => false,
        };
        if changed {
            self.logged_in = !self.logged_in;
            self.tell(Occasion::Login, &notice::login(&view, self.around.world.now_ms()), None);
        }
    }

    fn tell(&mut self, occasion: Occasion, object: &str, from: Option<&str>) {
        let hooks = Arc::clone(&self.hooks);
        for (number, hook) in hooks.iter().enumerate().filter(|(_, hook)| hook.on == occasion) {
            if self.concerns(hook, from) {
                self.schedule.handle_said(number, object.to_owned(), from.map(str::to_owned));
            }
        }
    }

    /// Has the owner write. What it cannot write now is done once more after the next start.
    async fn keep(&self, write: HookWrite) {
        let (reply, answer) = oneshot::channel();
        let ask = profile::Ask::Keep(Write::Hooks(write), reply);
        let kept = match self.around.owner.send(ask).await {
            Ok(()) => answer.await.is_ok_and(|answer| answer.is_ok()),
            Err(_) => false,
        };
        if !kept {
            tracing::warn!(profile = self.around.profile, "a hook's run could not be written down");
        }
    }

    /// Waits for what runs; starts nothing more.
    async fn finish(&mut self) {
        while let Some(ended) = self.runs.join_next().await {
            if let Ok((hook, report)) = ended {
                self.ended(hook, report).await;
            }
        }
    }

    fn unreadable(&self, error: &Trouble) {
        tracing::error!(profile = self.around.profile, %error, "the history cannot be read for hooks");
    }
}

/// How a run ended, for the log.
fn how(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Exited { code } => format!("exit {code}"),
        Outcome::Killed { signal } => format!("killed by signal {signal}"),
        Outcome::TimedOut => "ran too long and was ended".to_owned(),
        Outcome::NotStarted { detail } => format!("could not be started: {}", display::line(detail)),
    }
}
