//! Hooks: programs of the user that run when something happens in a profile. One task per profile follows its events, so that a
//! slow or hanging program never holds up the profile's owner or its link.
//!
//! Messages are taken from the history behind a cursor that is kept with it: a hook for messages runs at least once for each,
//! whatever is killed in between. Other events are news: they are lost with chatd, and where too many wait. What fails is repeated
//! and at last kept as a dead letter. `schedule.rs` decides, `run.rs` runs, `task.rs` brings both together, `notice.rs` says what a
//! hook gets, `history/hooks.rs` keeps. A chatd that is confined starts no program: its runner does ([`crate::runner`]).

mod notice;
mod run;
mod schedule;
mod task;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use chat_proto::control::hooks::{Occasion, Outcome};
use chat_proto::limits::HOOKS_AT_ONCE;
use tokio::sync::{Semaphore, broadcast, mpsc, oneshot, watch};

pub use run::{Input, Program, Report, SEARCH_PATH, run};
pub use schedule::Counts;

use crate::config::Hook;
use crate::history::hooks::{HookWrite, Letter};
use crate::history::thread::Reader;
use crate::history::{History, Trouble, Write};
use crate::profile::{self, Published, View};
use crate::runner::Runner;
use crate::world::World;
use notice::Notice;
use schedule::{Begin, Schedule};
use task::{Ask, Task};

/// What all hooks have in common; made by the assembly.
pub struct Setup {
    /// Hooks of the configuration.
    pub hooks: Vec<Hook>,
    /// Their programs, by the hooks' names.
    programs: HashMap<String, Program>,
    /// Who starts them, where chatd may not.
    runner: Option<Runner>,
    /// One for each hook that may run now, in the whole daemon.
    pub permits: Semaphore,
}

impl Setup {
    /// With these hooks and their programs.
    pub fn new(hooks: Vec<Hook>, programs: HashMap<String, Program>, runner: Option<Runner>) -> Setup {
        Setup { hooks, programs, runner, permits: Semaphore::new(HOOKS_AT_ONCE) }
    }

    /// The hooks of a profile.
    pub fn of(&self, profile: &str) -> Vec<Hook> {
        let meant = |hook: &&Hook| hook.profile.as_deref().is_none_or(|named| named == profile);
        self.hooks.iter().filter(meant).cloned().collect()
    }

    /// Runs a hook once with a sample of what it waits for, beside everything else.
    pub async fn test(&self, profile: &str, hook: &Hook, user: &str, now_ms: i64) -> Report {
        let sample = notice::sample(hook, user, now_ms);
        let report = self.try_run(profile, hook, sample, true).await;
        report.unwrap_or_else(|| Report::of(Outcome::NotStarted { detail: NO_RUNNER.into() }))
    }

    /// Runs a hook for an event. Where nobody can start it, it waits: a try that is none must not count as one, and what waits is not
    /// done, so that it is done at the next start.
    async fn run(&self, profile: &str, hook: &Hook, notice: Notice) -> Report {
        match self.try_run(profile, hook, notice, false).await {
            Some(report) => report,
            None => std::future::pending().await,
        }
    }

    async fn try_run(&self, profile: &str, hook: &Hook, notice: Notice, is_test: bool) -> Option<Report> {
        let Notice { object, from, id } = notice;
        let input = Input { event: hook.on.word().into(), from, id, profile: profile.into(), object, is_test };
        match &self.runner {
            Some(runner) => runner.run(&hook.name, input).await,
            None => Some(run(self.programs.get(&hook.name)?.run(input)).await),
        }
    }
}

const NO_RUNNER: &str = "the process that starts hooks has ended: chatctl daemon restart";

/// The programs of these hooks; `environment` is that of all of them, beside what tells of the event.
pub fn programs(hooks: &[Hook], environment: &[(String, String)], directory: &Path) -> HashMap<String, Program> {
    let program = |hook: &Hook| Program {
        argv: hook.run.clone(),
        environment: environment.to_vec(),
        directory: directory.to_owned(),
        limit: hook.timeout,
    };
    hooks.iter().map(|hook| (hook.name.clone(), program(hook))).collect()
}

/// What a profile's hooks start with, once it is written down.
pub struct Begun {
    hooks: Vec<Hook>,
    schedule: Schedule,
}

/// Writes down which hooks there are, so that new ones begin behind the newest message. Nothing where there are none.
pub fn begin(setup: &Setup, profile: &str, history: &mut impl History, world: World) -> Result<Option<Begun>, Trouble> {
    let hooks = setup.of(profile);
    let names: Vec<String> = hooks.iter().map(|hook| hook.name.clone()).collect();
    if names.is_empty() && history.hooks()?.is_empty() {
        return Ok(None);
    }
    history.commit(&[Write::Hooks(HookWrite::Configure(names))])?;
    if hooks.is_empty() {
        return Ok(None);
    }
    let (states, (letters, last_letter)) = (history.hooks()?, history.letters()?);
    let begin = |hook: &Hook| Begin {
        name: hook.name.clone(),
        messages: hook.on == Occasion::Message,
        cursor: states.iter().find(|state| state.name == hook.name).map_or(0, |state| state.cursor),
        retries: hook.retries,
        retry_after: hook.retry_after,
        letters: letters.iter().filter(|letter| letter.hook == hook.name && !letter.dead).cloned().collect(),
    };
    let schedule = Schedule::new(hooks.iter().map(begin).collect(), last_letter, world.mono_ms());
    Ok(Some(Begun { hooks, schedule }))
}

/// What the task is handed of its profile.
pub struct Around {
    /// The profile's name.
    pub profile: String,
    /// What all hooks have in common.
    pub setup: Arc<Setup>,
    /// Clocks.
    pub world: World,
    /// The history, to look at.
    pub reader: Reader,
    /// The owner, which writes.
    pub owner: mpsc::Sender<profile::Ask>,
    /// What happens.
    pub events: broadcast::Receiver<Arc<Published>>,
    /// How the account is.
    pub views: watch::Receiver<View>,
}

/// A handle on the task; cheap to clone.
#[derive(Clone)]
pub struct Hooks {
    asks: mpsc::Sender<Ask>,
}

impl Hooks {
    /// Starts the task. It ends when it is closed, or with its profile's owner.
    pub fn start(begun: Begun, around: Around) -> Hooks {
        let (asks, asked) = mpsc::channel(task::ASKS);
        tokio::spawn(Task::new(begun, around).run(asked));
        Hooks { asks }
    }

    /// How each hook stands, in the order of the configuration.
    pub async fn counts(&self) -> Vec<Counts> {
        self.ask(Ask::Counts).await.unwrap_or_default()
    }

    /// Dead letters live again.
    pub async fn replay(&self, letters: Vec<Letter>) {
        // A task that ended finds them at the next start.
        let _ = self.asks.send(Ask::Replay(letters)).await;
    }

    /// Ends the task; hooks that run get a moment to come to their end.
    pub async fn close(&self) {
        let _ = self.ask(Ask::Close).await;
    }

    async fn ask<T>(&self, ask: impl FnOnce(oneshot::Sender<T>) -> Ask) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.asks.send(ask(reply)).await.ok()?;
        answer.await.ok()
    }
}
