//! What is kept of hooks: how far each came, how its runs ended, and the events for which it failed ([`Letter`]).

use chat_proto::control::hooks::Outcome;
use chat_proto::limits::HOOK_LETTERS;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::convert::{i, u};
use super::{Done, KIND_GAP};

type Result<T> = rusqlite::Result<T>;

/// What an event is, as far as a hook is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// The message at this place of the history.
    Message(u64),
    /// Anything else: the object that the hook gets, and who caused it.
    Said {
        /// The object as JSON.
        object: String,
        /// Who.
        from: Option<String>,
    },
}

/// An event for which a hook failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// Its number, never given twice.
    pub id: u64,
    /// The hook.
    pub hook: String,
    /// The event.
    pub told: Told,
    /// When the last run ended.
    pub at_ms: i64,
    /// Runs so far.
    pub tries: u32,
    /// It is not tried again by itself.
    pub dead: bool,
    /// How the last run ended.
    pub outcome: Outcome,
}

/// A hook as kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookState {
    /// Its name.
    pub name: String,
    /// Every message up to here was given to it, or is a letter.
    pub cursor: u64,
    /// Runs that ended.
    pub runs: u64,
    /// Runs that failed.
    pub failures: u64,
    /// When the last run ended.
    pub last_ms: Option<i64>,
    /// How the last run ended, if it failed.
    pub error: Option<Outcome>,
}

/// A message that a hook may wait for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Its place.
    pub index: u64,
    /// Its sender; empty for the server.
    pub from: String,
}

/// What becomes of a letter when a run has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LetterChange {
    /// There is none.
    None,
    /// A first failure: a letter with this number.
    New(Letter),
    /// One more failure.
    Again {
        /// Which.
        id: u64,
        /// Runs so far.
        tries: u32,
        /// It was the last.
        dead: bool,
    },
    /// It succeeded.
    Gone(u64),
}

/// One change of what is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HookWrite {
    /// These hooks are configured: new ones begin behind the newest message, the cursors of others go. [`Done::Plain`].
    Configure(Vec<String>),
    /// Messages up to here do not concern it. [`Done::Plain`].
    Passed {
        /// The hook.
        hook: String,
        /// Up to here.
        cursor: u64,
    },
    /// A run ended. [`Done::Plain`].
    Ran {
        /// The hook.
        hook: String,
        /// The place of the message, when it was the first run for it.
        cursor: Option<u64>,
        /// When.
        at_ms: i64,
        /// How.
        outcome: Outcome,
        /// The letter.
        letter: LetterChange,
    },
    /// Try dead letters of these hooks again: this one, or all. [`Done::Letters`].
    Replay {
        /// Which.
        id: Option<u64>,
        /// Hooks that can run them.
        hooks: Vec<String>,
    },
    /// Forget dead letters: this one, or all. [`Done::Letters`].
    Drop(Option<u64>),
}

const COLUMNS: &str = "id, hook, idx, said, sender, at_ms, tries, dead, outcome";

/// Applies one change.
pub(super) fn apply(t: &Transaction<'_>, write: &HookWrite) -> Result<Done> {
    match write {
        HookWrite::Configure(names) => configure(t, names)?,
        HookWrite::Passed { hook, cursor } => pass(t, hook, *cursor)?,
        HookWrite::Ran { hook, cursor, at_ms, outcome, letter } => {
            cursor.map(|cursor| pass(t, hook, cursor)).transpose()?;
            ran(t, hook, *at_ms, outcome)?;
            change(t, letter, *at_ms, outcome)?;
        }
        HookWrite::Replay { id, hooks } => return replay(t, *id, hooks),
        HookWrite::Drop(id) => return forget(t, *id),
    }
    Ok(Done::Plain)
}

fn configure(t: &Transaction<'_>, names: &[String]) -> Result<()> {
    for state in states(t)?.into_iter().filter(|state| !names.contains(&state.name)) {
        t.execute("DELETE FROM hook WHERE name = ?1", [&state.name])?;
        // Nobody would try them again.
        t.execute("UPDATE letter SET dead = 1 WHERE dead = 0 AND hook = ?1", [&state.name])?;
    }
    for name in names {
        t.execute(
            "INSERT INTO hook (name, cursor) VALUES (?1, (SELECT coalesce(max(idx), 0) FROM message)) ON CONFLICT DO NOTHING",
            [name],
        )?;
    }
    Ok(())
}

fn pass(t: &Transaction<'_>, hook: &str, cursor: u64) -> Result<()> {
    t.prepare_cached("UPDATE hook SET cursor = max(cursor, ?2) WHERE name = ?1")?.execute(params![hook, i(cursor)])?;
    Ok(())
}

fn ran(t: &Transaction<'_>, hook: &str, at_ms: i64, outcome: &Outcome) -> Result<()> {
    let error = (!outcome.is_success()).then(|| text(outcome));
    t.prepare_cached(
        "UPDATE hook SET runs = runs + 1, failures = failures + (?3 IS NOT NULL), last_ms = ?2, error = ?3 WHERE name = ?1",
    )?
    .execute(params![hook, at_ms, error])?;
    Ok(())
}

fn change(t: &Transaction<'_>, letter: &LetterChange, at_ms: i64, outcome: &Outcome) -> Result<()> {
    match letter {
        LetterChange::None => {}
        LetterChange::New(letter) => insert(t, letter)?,
        LetterChange::Again { id, tries, dead } => {
            t.prepare_cached("UPDATE letter SET tries = ?2, dead = ?3, at_ms = ?4, outcome = ?5 WHERE id = ?1")?
                .execute(params![i(*id), tries, dead, at_ms, text(outcome)])?;
            trim(t)?;
        }
        LetterChange::Gone(id) => {
            t.prepare_cached("DELETE FROM letter WHERE id = ?1")?.execute([i(*id)])?;
        }
    }
    Ok(())
}

fn insert(t: &Transaction<'_>, letter: &Letter) -> Result<()> {
    let (index, said, from) = match &letter.told {
        Told::Message(index) => (Some(i(*index)), None, None),
        Told::Said { object, from } => (None, Some(object), from.as_ref()),
    };
    t.prepare_cached(
        "INSERT INTO letter (id, hook, idx, said, sender, at_ms, tries, dead, outcome) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?
    .execute(params![
        i(letter.id),
        letter.hook,
        index,
        said,
        from,
        letter.at_ms,
        letter.tries,
        letter.dead,
        text(&letter.outcome)
    ])?;
    trim(t)
}

/// Only the newest dead letters are kept.
fn trim(t: &Transaction<'_>) -> Result<()> {
    let bound = i64::try_from(HOOK_LETTERS).unwrap_or(i64::MAX);
    t.prepare_cached(
        "DELETE FROM letter WHERE dead = 1 AND id <= (SELECT id FROM letter WHERE dead = 1 ORDER BY id DESC LIMIT 1 OFFSET ?1)",
    )?
    .execute([bound])?;
    Ok(())
}

fn replay(t: &Transaction<'_>, id: Option<u64>, hooks: &[String]) -> Result<Done> {
    let mut found = dead(t, id)?;
    found.retain(|letter| hooks.contains(&letter.hook));
    for letter in &mut found {
        t.prepare_cached("UPDATE letter SET dead = 0, tries = 0 WHERE id = ?1")?.execute([i(letter.id)])?;
        (letter.dead, letter.tries) = (false, 0);
    }
    Ok(Done::Letters(found))
}

fn forget(t: &Transaction<'_>, id: Option<u64>) -> Result<Done> {
    let found = dead(t, id)?;
    for letter in &found {
        t.prepare_cached("DELETE FROM letter WHERE id = ?1")?.execute([i(letter.id)])?;
    }
    Ok(Done::Letters(found))
}

fn dead(c: &Connection, id: Option<u64>) -> Result<Vec<Letter>> {
    let sql = format!("SELECT {COLUMNS} FROM letter WHERE dead = 1 AND (?1 IS NULL OR id = ?1) ORDER BY id");
    c.prepare_cached(&sql)?.query_map([id.map(i)], letter)?.collect()
}

/// What is kept of all hooks.
pub(super) fn states(c: &Connection) -> Result<Vec<HookState>> {
    c.prepare_cached("SELECT name, cursor, runs, failures, last_ms, error FROM hook")?
        .query_map([], |r| {
            Ok(HookState {
                name: r.get(0)?,
                cursor: u(r.get(1)?),
                runs: u(r.get(2)?),
                failures: u(r.get(3)?),
                last_ms: r.get(4)?,
                error: r.get::<_, Option<String>>(5)?.map(|text| outcome(5, &text)).transpose()?,
            })
        })?
        .collect()
}

/// All letters, oldest first, and the highest number ever given.
pub(super) fn letters(c: &Connection) -> Result<(Vec<Letter>, u64)> {
    let sql = format!("SELECT {COLUMNS} FROM letter ORDER BY id");
    let all = c.prepare_cached(&sql)?.query_map([], letter)?.collect::<Result<_>>()?;
    let last: Option<i64> = c
        .prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = 'letter'")?
        .query_row([], |r| r.get(0))
        .optional()?;
    Ok((all, last.map_or(0, u)))
}

/// Messages of others behind a place, oldest first, and the place up to which that was all.
pub(super) fn arrivals(c: &Connection, after: u64, limit: usize) -> Result<(Vec<Arrival>, u64)> {
    let head: i64 = c.prepare_cached("SELECT coalesce(max(idx), 0) FROM message")?.query_row([], |r| r.get(0))?;
    let found = c
        .prepare_cached(
            "SELECT idx, sender FROM message WHERE idx > ?1 AND idx <= ?2 AND own = 0 AND kind <> ?3 ORDER BY idx LIMIT ?4",
        )?
        .query_map(params![i(after), head, KIND_GAP, i64::try_from(limit).unwrap_or(i64::MAX)], |r| {
            Ok(Arrival { index: u(r.get(0)?), from: r.get(1)? })
        })?
        .collect::<Result<Vec<_>>>()?;
    let upto = found.last().filter(|_| found.len() >= limit).map_or(u(head), |last| last.index);
    Ok((found, upto))
}

fn letter(r: &rusqlite::Row<'_>) -> Result<Letter> {
    let told = match r.get::<_, Option<i64>>(2)? {
        Some(index) => Told::Message(u(index)),
        None => Told::Said { object: r.get::<_, Option<String>>(3)?.unwrap_or_default(), from: r.get(4)? },
    };
    Ok(Letter {
        id: u(r.get(0)?),
        hook: r.get(1)?,
        told,
        at_ms: r.get(5)?,
        tries: r.get(6)?,
        dead: r.get(7)?,
        outcome: outcome(8, &r.get::<_, String>(8)?)?,
    })
}

fn text(outcome: &Outcome) -> String {
    // Only a map with keys that are no text could fail, and there is none.
    serde_json::to_string(outcome).unwrap_or_default()
}

fn outcome(column: usize, text: &str) -> Result<Outcome> {
    serde_json::from_str(text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.into()))
}
