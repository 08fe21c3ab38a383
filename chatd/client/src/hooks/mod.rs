//! Hooks: programs of the user that run when something happens in a profile. One task per profile follows its events, so that a
//! slow or hanging program never holds up the profile's owner or its link.
//!
//! Messages are taken from the history behind a cursor that is kept with it: a hook for messages runs at least once for each,
//! whatever is killed in between. Other events are news: they are lost with chatd, and where too many wait. What fails is repeated
//! and at last kept as a dead letter. `schedule.rs` decides, `run.rs` runs, `task.rs` brings both together, `notice.rs` says what a
//! hook gets, `history/hooks.rs` keeps.

mod notice;
mod run;
mod schedule;
mod task;

use std::path::PathBuf;
use std::sync::Arc;

use chat_proto::control::hooks::Occasion;
use chat_proto::limits::HOOKS_AT_ONCE;
use tokio::sync::{Semaphore, broadcast, mpsc, oneshot, watch};

pub use run::Report;
pub use schedule::Counts;

use crate::config::Hook;
use crate::history::hooks::{HookWrite, Letter};
use crate::history::thread::Reader;
use crate::history::{History, Trouble, Write};
use crate::profile::{self, Published, View};
use crate::world::World;
use notice::Notice;
use run::Run;
use schedule::{Begin, Schedule};
use task::{Ask, Task};

/// What all hooks have in common; made by the assembly.
pub struct Setup {
    /// Hooks of the configuration.
    pub hooks: Vec<Hook>,
    /// The environment of every hook, beside what tells of the event.
    pub environment: Vec<(String, String)>,
    /// Their working directory.
    pub directory: PathBuf,
    /// One for each hook that may run now, in the whole daemon.
    pub permits: Semaphore,
}

impl Setup {
    /// With these hooks.
    pub fn new(hooks: Vec<Hook>, environment: Vec<(String, String)>, directory: PathBuf) -> Setup {
        Setup { hooks, environment, directory, permits: Semaphore::new(HOOKS_AT_ONCE) }
    }

    /// The hooks of a profile.
    pub fn of(&self, profile: &str) -> Vec<Hook> {
        let meant = |hook: &&Hook| hook.profile.as_deref().is_none_or(|named| named == profile);
        self.hooks.iter().filter(meant).cloned().collect()
    }

    /// Runs a hook once with a sample of what it waits for, beside everything else.
    pub async fn test(&self, profile: &str, hook: &Hook, user: &str, now_ms: i64) -> Report {
        let mut run = self.prepare(profile, hook, &notice::sample(hook, user, now_ms));
        run.environment.push(("CHAT_TEST".into(), "1".into()));
        run::run(run).await
    }

    /// The run of a hook for an event.
    fn prepare(&self, profile: &str, hook: &Hook, notice: &Notice) -> Run {
        let mut environment = self.environment.clone();
        let told = [
            ("CHAT_EVENT", hook.on.word()),
            ("CHAT_FROM", &notice.from),
            ("CHAT_ID", &notice.id),
            ("CHAT_PROFILE", profile),
        ];
        environment.extend(told.map(|(name, value)| (name.to_owned(), value.to_owned())));
        Run {
            argv: hook.run.clone(),
            environment,
            directory: self.directory.clone(),
            input: format!("{}\n", notice.object),
            limit: hook.timeout,
        }
    }
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
