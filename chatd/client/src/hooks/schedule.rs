//! Which hook runs next for which event: decided without a clock, a process or a disk. The profile's hook task drives it.
//!
//! A hook runs one event at a time, messages in the order of the history. An event for which it failed becomes a letter and
//! waits for its repetition beside the new ones, so that one bad event never holds up the others. What a run changes on the
//! disk is in one [`HookWrite`]: the cursor passes a message only together with its success, or with the letter that keeps it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use chat_proto::control::hooks::Outcome;
use chat_proto::limits::{HOOK_RETRY_MAX, HOOK_RETRYING, HOOK_WAITING};

use crate::history::hooks::{HookWrite, Letter, LetterChange, Told};

/// Messages that do not concern a hook before its cursor is written down for them alone.
const PASSED_UNWRITTEN: u64 = 256;

/// Number of a hook in the configuration's order.
pub type HookNo = usize;

/// A hook as it begins.
#[derive(Clone, Debug)]
pub struct Begin {
    /// Its name.
    pub name: String,
    /// It waits for messages.
    pub messages: bool,
    /// Messages up to here are done.
    pub cursor: u64,
    /// Repetitions of a failed run.
    pub retries: u32,
    /// The wait before the first one.
    pub retry_after: Duration,
    /// Letters that are not dead.
    pub letters: Vec<Letter>,
}

/// A run to be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// The hook.
    pub hook: HookNo,
    /// The event.
    pub told: Told,
}

/// How many events of a hook wait for what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// One is being run.
    pub running: bool,
    /// Events that wait for their first run; messages that were not looked at yet are not among them.
    pub waiting: usize,
    /// Letters that wait for their repetition.
    pub retrying: usize,
    /// Events that were left out.
    pub missed: u64,
}

/// An event and, where it failed before, its letter.
#[derive(Clone, Debug)]
struct Job {
    told: Told,
    letter: Option<(u64, u32)>,
}

/// One hook.
struct Lane {
    begin: Begin,
    /// The history was looked at up to here.
    scanned: u64,
    /// Everything up to here is written down as done.
    cursor: u64,
    waiting: VecDeque<Told>,
    /// By time and number.
    retrying: BTreeMap<(u64, u64), Job>,
    running: Option<Job>,
    /// The last run was a repetition: a new event has precedence now.
    repeated: bool,
    missed: u64,
}

/// All hooks of a profile.
pub struct Schedule {
    lanes: Vec<Lane>,
    next_letter: u64,
}

impl Schedule {
    /// With the hooks that the configuration has; `last_letter` is the highest number ever given to a letter.
    pub fn new(hooks: Vec<Begin>, last_letter: u64, now: u64) -> Schedule {
        let lanes = hooks.into_iter().map(|begin| Lane::new(begin, now)).collect();
        Schedule { lanes, next_letter: last_letter + 1 }
    }

    /// A hook whose view of the history ends before `head` and that has room: look for messages behind this place, so many.
    pub fn poll_scan(&self, head: u64) -> Option<(HookNo, u64, usize)> {
        let hungry = |lane: &Lane| lane.begin.messages && lane.scanned < head && lane.waiting.len() < HOOK_WAITING / 2;
        let hook = self.lanes.iter().position(hungry)?;
        let lane = &self.lanes[hook];
        Some((hook, lane.scanned, HOOK_WAITING - lane.waiting.len()))
    }

    /// The history was looked at up to `upto`: these messages concern the hook. Answers what is to be written down.
    pub fn handle_scanned(&mut self, hook: HookNo, found: Vec<u64>, upto: u64) -> Option<HookWrite> {
        let lane = self.lanes.get_mut(hook)?;
        lane.scanned = lane.scanned.max(upto);
        lane.waiting.extend(found.into_iter().map(Told::Message));
        let idle = lane.waiting.is_empty() && lane.running.is_none();
        if !idle || lane.scanned.saturating_sub(lane.cursor) < PASSED_UNWRITTEN {
            return None;
        }
        lane.cursor = lane.scanned;
        Some(HookWrite::Passed { hook: lane.begin.name.clone(), cursor: lane.cursor })
    }

    /// Something other than a message happened that concerns the hook. The oldest is left out where too much waits.
    pub fn handle_said(&mut self, hook: HookNo, object: String, from: Option<String>) {
        let Some(lane) = self.lanes.get_mut(hook) else { return };
        if lane.waiting.len() >= HOOK_WAITING {
            lane.waiting.pop_front();
            lane.missed += 1;
        }
        lane.waiting.push_back(Told::Said { object, from });
    }

    /// So many events may have concerned hooks that wait for other things than messages, and are gone.
    pub fn handle_lagged(&mut self, count: u64) {
        self.lanes.iter_mut().filter(|lane| !lane.begin.messages).for_each(|lane| lane.missed += count);
    }

    /// The run that may begin now.
    pub fn poll_start(&mut self, now: u64) -> Option<Start> {
        let ready = |lane: &Lane| lane.running.is_none() && (!lane.waiting.is_empty() || lane.due(now));
        let hook = self.lanes.iter().position(ready)?;
        let lane = &mut self.lanes[hook];
        let job = lane.take(now)?;
        let told = job.told.clone();
        lane.running = Some(job);
        Some(Start { hook, told })
    }

    /// When a repetition is due that nothing else brings about.
    pub fn poll_timeout(&self) -> Option<u64> {
        let due = |lane: &Lane| lane.retrying.keys().next().map(|(at, _)| *at);
        self.lanes.iter().filter(|lane| lane.running.is_none()).filter_map(due).min()
    }

    /// The hook's run ended. Answers what is to be written down; it may run again only afterwards or never forget.
    pub fn handle_ended(&mut self, hook: HookNo, outcome: Outcome, now: u64, at_ms: i64) -> Option<HookWrite> {
        let lane = self.lanes.get_mut(hook)?;
        let job = lane.running.take()?;
        let cursor = match (&job.told, job.letter) {
            (Told::Message(index), None) => Some(*index),
            _ => None,
        };
        lane.cursor = lane.cursor.max(cursor.unwrap_or_default());
        let letter = match (outcome.is_success(), job.letter) {
            (true, None) => LetterChange::None,
            (true, Some((id, _))) => LetterChange::Gone(id),
            (false, None) => {
                let id = self.next_letter;
                self.next_letter += 1;
                let dead = !lane.repeat(now, id, 1, &job.told);
                let hook = lane.begin.name.clone();
                LetterChange::New(Letter { id, hook, told: job.told, at_ms, tries: 1, dead, outcome: outcome.clone() })
            }
            (false, Some((id, tries))) => {
                let tries = tries + 1;
                LetterChange::Again { id, tries, dead: !lane.repeat(now, id, tries, &job.told) }
            }
        };
        Some(HookWrite::Ran { hook: lane.begin.name.clone(), cursor, at_ms, outcome, letter })
    }

    /// Dead letters live again: they are tried now.
    pub fn handle_replayed(&mut self, letters: Vec<Letter>, now: u64) {
        for letter in letters {
            if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.begin.name == letter.hook) {
                lane.retrying
                    .insert((now, letter.id), Job { told: letter.told, letter: Some((letter.id, letter.tries)) });
            }
        }
    }

    /// How the hook stands.
    pub fn counts(&self, hook: HookNo) -> Counts {
        self.lanes.get(hook).map_or_else(Counts::default, |lane| Counts {
            running: lane.running.is_some(),
            waiting: lane.waiting.len(),
            retrying: lane.retrying.len(),
            missed: lane.missed,
        })
    }
}

impl Lane {
    fn new(mut begin: Begin, now: u64) -> Lane {
        // A start is a good moment to try again: what was wrong may have been mended.
        let job =
            |letter: Letter| ((now, letter.id), Job { told: letter.told, letter: Some((letter.id, letter.tries)) });
        let retrying = std::mem::take(&mut begin.letters).into_iter().map(job).collect();
        Lane {
            scanned: begin.cursor,
            cursor: begin.cursor,
            begin,
            waiting: VecDeque::new(),
            retrying,
            running: None,
            repeated: false,
            missed: 0,
        }
    }

    fn due(&self, now: u64) -> bool {
        self.retrying.keys().next().is_some_and(|(at, _)| *at <= now)
    }

    /// New events and due repetitions take turns.
    fn take(&mut self, now: u64) -> Option<Job> {
        let repeat = self.due(now) && (!self.repeated || self.waiting.is_empty());
        self.repeated = repeat;
        if repeat {
            return self.retrying.pop_first().map(|(_, job)| job);
        }
        self.waiting.pop_front().map(|told| Job { told, letter: None })
    }

    /// Plans the next repetition of what was run `tries` times; false when it had all that it may have.
    fn repeat(&mut self, now: u64, id: u64, tries: u32, told: &Told) -> bool {
        if tries > self.begin.retries || self.retrying.len() >= HOOK_RETRYING {
            return false;
        }
        let wait = self.begin.retry_after.saturating_mul(4u32.saturating_pow(tries - 1)).min(HOOK_RETRY_MAX);
        let at = now.saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        self.retrying.insert((at, id), Job { told: told.clone(), letter: Some((id, tries)) });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: Outcome = Outcome::Exited { code: 0 };
    const BAD: Outcome = Outcome::Exited { code: 3 };

    fn hook(name: &str, messages: bool, retries: u32) -> Begin {
        let retry_after = Duration::from_secs(2);
        Begin { name: name.into(), messages, cursor: 10, retries, retry_after, letters: Vec::new() }
    }

    fn one(retries: u32) -> Schedule {
        Schedule::new(vec![hook("page", true, retries)], 0, 0)
    }

    fn started(schedule: &mut Schedule, now: u64) -> Option<Told> {
        schedule.poll_start(now).map(|start| start.told)
    }

    fn letter_of(write: Option<HookWrite>) -> (Option<u64>, LetterChange) {
        match write {
            Some(HookWrite::Ran { cursor, letter, .. }) => (cursor, letter),
            other => panic!("a run was to be written down, not {other:?}"),
        }
    }

    #[test]
    fn messages_run_one_by_one_and_the_cursor_follows() {
        let mut schedule = one(0);
        assert_eq!(schedule.poll_scan(10), None);
        assert_eq!(schedule.poll_scan(13), Some((0, 10, HOOK_WAITING)));
        assert_eq!(schedule.handle_scanned(0, vec![11, 13], 13), None);
        assert_eq!(schedule.poll_scan(13), None);
        assert_eq!(started(&mut schedule, 0), Some(Told::Message(11)));
        assert_eq!(started(&mut schedule, 0), None, "one at a time");
        assert_eq!(letter_of(schedule.handle_ended(0, OK, 1, 5)), (Some(11), LetterChange::None));
        assert_eq!(started(&mut schedule, 1), Some(Told::Message(13)));
        assert_eq!(letter_of(schedule.handle_ended(0, OK, 2, 6)).0, Some(13));
        assert_eq!((started(&mut schedule, 9), schedule.poll_timeout()), (None, None));
    }

    #[test]
    fn a_failed_message_is_a_letter_and_holds_up_nobody() {
        let mut schedule = one(2);
        schedule.handle_scanned(0, vec![11, 12], 12);
        started(&mut schedule, 0);
        let (cursor, letter) = letter_of(schedule.handle_ended(0, BAD, 100, 5));
        assert_eq!(cursor, Some(11));
        assert!(matches!(&letter, LetterChange::New(l) if l.id == 1 && l.tries == 1 && !l.dead), "{letter:?}");
        assert_eq!(started(&mut schedule, 100), Some(Told::Message(12)));
        schedule.handle_ended(0, OK, 150, 5);
        assert_eq!(schedule.poll_timeout(), Some(2100));
        assert_eq!(started(&mut schedule, 2099), None);
        assert_eq!(started(&mut schedule, 2100), Some(Told::Message(11)));
        let again = letter_of(schedule.handle_ended(0, BAD, 2200, 6));
        assert_eq!(again, (None, LetterChange::Again { id: 1, tries: 2, dead: false }));
        assert_eq!(schedule.poll_timeout(), Some(10_200), "four times as long");
        started(&mut schedule, 10_200);
        let last = letter_of(schedule.handle_ended(0, BAD, 10_300, 7));
        assert_eq!(last, (None, LetterChange::Again { id: 1, tries: 3, dead: true }));
        assert_eq!((schedule.poll_timeout(), schedule.counts(0).retrying), (None, 0));
    }

    #[test]
    fn a_repetition_that_succeeds_ends_the_letter() {
        let mut schedule = one(2);
        schedule.handle_scanned(0, vec![11], 11);
        started(&mut schedule, 0);
        schedule.handle_ended(0, BAD, 0, 5);
        assert_eq!(started(&mut schedule, 5000), Some(Told::Message(11)));
        assert_eq!(letter_of(schedule.handle_ended(0, OK, 5000, 5)), (None, LetterChange::Gone(1)));
    }

    #[test]
    fn new_events_and_repetitions_take_turns() {
        let mut schedule = one(9);
        schedule.handle_scanned(0, vec![11, 12, 13, 14], 14);
        started(&mut schedule, 0);
        schedule.handle_ended(0, BAD, 0, 5);
        started(&mut schedule, 0);
        schedule.handle_ended(0, BAD, 0, 5);
        let mut order = Vec::new();
        for now in 5000.. {
            let Some(told) = started(&mut schedule, now) else { break };
            order.push(told);
            schedule.handle_ended(0, OK, now, 5);
        }
        assert_eq!(order, [11, 13, 12, 14].map(Told::Message));
    }

    #[test]
    fn without_retries_a_failure_is_dead_at_once_and_can_be_replayed() {
        let mut schedule = one(0);
        schedule.handle_scanned(0, vec![11], 11);
        started(&mut schedule, 0);
        let (_, letter) = letter_of(schedule.handle_ended(0, BAD, 0, 5));
        let LetterChange::New(mut letter) = letter else { panic!("a letter: {letter:?}") };
        assert!(letter.dead);
        (letter.dead, letter.tries) = (false, 0);
        schedule.handle_replayed(vec![letter], 50);
        assert_eq!(started(&mut schedule, 50), Some(Told::Message(11)));
        assert_eq!(letter_of(schedule.handle_ended(0, OK, 50, 5)), (None, LetterChange::Gone(1)));
    }

    #[test]
    fn letters_and_cursor_of_an_earlier_run_go_on() {
        let kept = Letter {
            id: 7,
            hook: "page".into(),
            told: Told::Message(4),
            at_ms: 1,
            tries: 2,
            dead: false,
            outcome: BAD,
        };
        let mut schedule = Schedule::new(vec![Begin { letters: vec![kept], ..hook("page", true, 2) }], 7, 0);
        assert_eq!(started(&mut schedule, 0), Some(Told::Message(4)));
        let ended = letter_of(schedule.handle_ended(0, BAD, 0, 5));
        assert_eq!(ended, (None, LetterChange::Again { id: 7, tries: 3, dead: true }));
        schedule.handle_scanned(0, vec![11], 11);
        started(&mut schedule, 0);
        let (_, letter) = letter_of(schedule.handle_ended(0, BAD, 0, 5));
        assert!(matches!(letter, LetterChange::New(l) if l.id == 8));
    }

    #[test]
    fn passed_messages_are_written_down_now_and_then() {
        let mut schedule = one(0);
        assert_eq!(schedule.handle_scanned(0, vec![], 20), None);
        let passed = HookWrite::Passed { hook: "page".into(), cursor: 300 };
        assert_eq!(schedule.handle_scanned(0, vec![], 300), Some(passed));
        assert_eq!(schedule.handle_scanned(0, vec![301], 900), None, "301 is not done");
    }

    #[test]
    fn a_hook_that_is_too_slow_misses_old_news_but_no_message() {
        let mut schedule = Schedule::new(vec![hook("who", false, 0), hook("page", true, 0)], 0, 0);
        for number in 0..HOOK_WAITING + 3 {
            schedule.handle_said(0, number.to_string(), None);
        }
        let counts = schedule.counts(0);
        assert_eq!((counts.waiting, counts.missed), (HOOK_WAITING, 3));
        assert_eq!(started(&mut schedule, 0), Some(Told::Said { object: "3".into(), from: None }));
        schedule.handle_scanned(1, (11..11 + HOOK_WAITING as u64).collect(), 10 + HOOK_WAITING as u64);
        assert_eq!(schedule.poll_scan(10_000), None, "the rest waits in the history");
        schedule.handle_lagged(2);
        assert_eq!((schedule.counts(0).missed, schedule.counts(1).missed), (5, 0));
    }

    #[test]
    fn hooks_do_not_wait_for_each_other() {
        let mut schedule = Schedule::new(vec![hook("a", true, 0), hook("b", true, 0)], 0, 0);
        for hook in [0, 1] {
            schedule.handle_scanned(hook, vec![11], 11);
        }
        assert_eq!(schedule.poll_start(0).map(|start| start.hook), Some(0));
        assert_eq!(schedule.poll_start(0).map(|start| start.hook), Some(1));
        assert_eq!(schedule.poll_start(0), None);
    }
}
