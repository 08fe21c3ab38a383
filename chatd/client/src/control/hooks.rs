//! Calls about hooks: how they do, a run with a sample, and their dead letters.

use chat_proto::control::hooks::{
    Hook, Hooks, HooksDrop, HooksLetters, HooksList, HooksReplay, HooksTest, Letter, Letters, Ran,
};
use chat_proto::control::{ErrorData, Items};
use chat_proto::fault::Code;

use super::unreadable;
use crate::config;
use crate::daemon::Daemon;
use crate::history::hooks::{HookState, HookWrite, Letter as Kept, Told};
use crate::history::{Done, Write};
use crate::hooks::{Counts, Report};
use crate::profile::{Answer, Ask, Profile};

pub(super) async fn list(d: &Daemon, call: HooksList) -> Answer<Hooks> {
    let profile = d.profile(&call.profile).await?;
    let hooks = d.around.hooks.of(&profile.name);
    let counts = match &profile.hooks {
        Some(hooks) => hooks.counts().await,
        None => Vec::new(),
    };
    let read = |history: &mut dyn crate::history::History| Ok((history.hooks()?, history.letters()?.0));
    let (states, letters) = profile.reader.ask(read).await.map_err(|t| unreadable(&t))?;
    let counts = counts.into_iter().chain(std::iter::repeat(Counts::default()));
    let describe = |(hook, counts): (config::Hook, Counts)| {
        let state = states.iter().find(|state| state.name == hook.name);
        let dead = letters.iter().filter(|letter| letter.dead && letter.hook == hook.name).count();
        one(hook, counts, state, dead)
    };
    Ok(Hooks { items: hooks.into_iter().zip(counts).map(describe).collect(), config_changed: d.config.is_stale() })
}

fn one(hook: config::Hook, counts: Counts, state: Option<&HookState>, dead: usize) -> Hook {
    let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    Hook {
        name: hook.name,
        on: hook.on,
        from: hook.from,
        run: hook.run,
        timeout_ms: u64::try_from(hook.timeout.as_millis()).unwrap_or(u64::MAX),
        retries: hook.retries,
        runs: state.map_or(0, |state| state.runs),
        failures: state.map_or(0, |state| state.failures),
        last_at_ms: state.and_then(|state| state.last_ms),
        last_error: state.and_then(|state| state.error.clone()),
        running: counts.running,
        waiting: number(counts.waiting),
        retrying: number(counts.retrying),
        dead: number(dead),
        missed: counts.missed,
    }
}

pub(super) async fn test(d: &Daemon, call: HooksTest) -> Answer<Items<Ran>> {
    let profile = d.profile(&call.profile).await?;
    let mut hooks = d.around.hooks.of(&profile.name);
    hooks.retain(|hook| hook.on == call.on && call.name.as_ref().is_none_or(|name| *name == hook.name));
    if hooks.is_empty() {
        let subject = Some(call.name.unwrap_or_else(|| call.on.word().to_owned()));
        return Err(Box::new(ErrorData { subject, ..Code::UNKNOWN_HOOK.into() }));
    }
    let user = profile.view().user;
    let mut items = Vec::with_capacity(hooks.len());
    for hook in hooks {
        let Report { outcome, output, cut, took } =
            d.around.hooks.test(&profile.name, &hook, &user, d.around.world.now_ms()).await;
        let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        items.push(Ran { name: hook.name, outcome, duration_ms, output, cut });
    }
    Ok(Items { items })
}

pub(super) async fn letters(d: &Daemon, call: HooksLetters) -> Answer<Items<Letter>> {
    let profile = d.profile(&call.profile).await?;
    let read = |history: &mut dyn crate::history::History| {
        let (mut letters, _) = history.letters()?;
        letters.retain(|letter| letter.dead);
        letters.into_iter().map(|letter| describe(history, letter)).collect()
    };
    Ok(Items { items: profile.reader.ask(read).await.map_err(|t| unreadable(&t))? })
}

fn describe(history: &mut dyn crate::history::History, kept: Kept) -> Result<Letter, crate::history::Trouble> {
    let (message, from) = match kept.told {
        Told::Message(index) => history.row(index)?.map_or((None, None), |row| (Some(row.id.0), Some(row.from))),
        Told::Said { from, .. } => (None, from),
    };
    let Kept { id, hook, at_ms, tries, outcome, .. } = kept;
    Ok(Letter { id, hook, message, from, at_ms, tries, outcome })
}

pub(super) async fn replay(d: &Daemon, call: HooksReplay) -> Answer<Letters> {
    let profile = d.profile(&call.profile).await?;
    let hooks = d.around.hooks.of(&profile.name).into_iter().map(|hook| hook.name).collect();
    let letters = change(&profile, HookWrite::Replay { id: call.id, hooks }, call.id).await?;
    let count = u64::try_from(letters.len()).unwrap_or(u64::MAX);
    if let Some(hooks) = &profile.hooks {
        hooks.replay(letters).await;
    }
    Ok(Letters { count })
}

pub(super) async fn drop(d: &Daemon, call: HooksDrop) -> Answer<Letters> {
    let profile = d.profile(&call.profile).await?;
    let letters = change(&profile, HookWrite::Drop(call.id), call.id).await?;
    Ok(Letters { count: u64::try_from(letters.len()).unwrap_or(u64::MAX) })
}

/// Changes dead letters; one that was named must be there.
async fn change(profile: &Profile, write: HookWrite, id: Option<u64>) -> Answer<Vec<Kept>> {
    let done = profile.ask(|reply| Ask::Keep(Write::Hooks(write), reply)).await?;
    match (done, id) {
        (Done::Letters(letters), Some(id)) if letters.is_empty() => {
            Err(Box::new(ErrorData { subject: Some(id.to_string()), ..Code::UNKNOWN_LETTER.into() }))
        }
        (Done::Letters(letters), _) => Ok(letters),
        _ => Ok(Vec::new()),
    }
}
