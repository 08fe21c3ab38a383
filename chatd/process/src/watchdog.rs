//! What a supervisor's watchdog is fed with: the progress of threads that do work for others, not the mere passing of time. A thread
//! that has work and gets none of it done is stuck, however well the rest of the process is; one that is busy gets on.
//!
//! Each such thread has a [`Work`] that counts; `main` lets [`feed`] look at all of them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::time::sleep;

use crate::notify::Supervisor;

/// What was given to one thread, and what it has done. Clones count the same.
#[derive(Clone, Debug, Default)]
pub struct Work(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    given: AtomicU64,
    done: AtomicU64,
}

impl Work {
    /// One more is on its way to the thread.
    pub fn given(&self) {
        self.0.given.fetch_add(1, Ordering::Relaxed);
    }

    /// One that was given did not get there.
    pub fn taken_back(&self) {
        self.0.given.fetch_sub(1, Ordering::Relaxed);
    }

    /// The thread has done so many.
    pub fn done(&self, count: usize) {
        self.0.done.fetch_add(count as u64, Ordering::Relaxed);
    }
}

/// The threads of a process that are watched. Clones share the list.
#[derive(Clone, Debug, Default)]
pub struct Workers(Arc<Mutex<Vec<Watched>>>);

#[derive(Debug)]
struct Watched {
    counts: Weak<Counts>,
    /// What it had done when all were well last.
    done: u64,
}

impl Workers {
    /// A thread that begins; it leaves the list when its [`Work`] is dropped.
    pub fn begin(&self) -> Work {
        let work = Work::default();
        self.list().push(Watched { counts: Arc::downgrade(&work.0), done: 0 });
        work
    }

    /// Whether each has nothing to do, or has done something since this was true last.
    pub fn get_on(&self) -> bool {
        let mut list = self.list();
        list.retain(|watched| watched.counts.strong_count() > 0);
        let well = list.iter().all(Watched::gets_on);
        if well {
            list.iter_mut().for_each(Watched::note);
        }
        well
    }

    fn list(&self) -> std::sync::MutexGuard<'_, Vec<Watched>> {
        // Short lock: held for a look, by a watcher that comes every few seconds.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watched {
    fn gets_on(&self) -> bool {
        self.counts.upgrade().is_none_or(|counts| {
            let (done, given) = (counts.done.load(Ordering::Relaxed), counts.given.load(Ordering::Relaxed));
            done >= given || done != self.done
        })
    }

    fn note(&mut self) {
        self.done = self.counts.upgrade().map_or(0, |counts| counts.done.load(Ordering::Relaxed));
    }
}

/// Tells the supervisor that the process lives, as long as all its workers get on; ends at once where no watchdog listens. Runs on
/// the runtime whose tasks are to be watched: one that never yields starves it.
pub async fn feed(supervisor: Supervisor, workers: Workers) {
    let Some(due) = supervisor.watchdog() else { return };
    loop {
        if workers.get_on() {
            supervisor.alive();
        }
        sleep(look_every(due)).await;
    }
}

/// So that a worker has nearly all the time that the supervisor allows.
fn look_every(due: Duration) -> Duration {
    due / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_work_and_does_none_is_stuck() {
        let workers = Workers::default();
        let (one, two) = (workers.begin(), workers.begin());
        assert!(workers.get_on(), "nobody has anything to do");
        one.given();
        one.given();
        assert!(!workers.get_on(), "nothing of it is done");
        one.done(1);
        assert!(workers.get_on(), "it is busy");
        assert!(!workers.get_on(), "and now it is not");
        two.given();
        two.done(1);
        assert!(!workers.get_on(), "another one's work helps nobody");
        one.done(1);
        assert!(workers.get_on());
        two.given();
        two.taken_back();
        assert!(workers.get_on(), "what did not get there is no work");
        one.given();
        drop(one);
        assert!(workers.get_on(), "who has ended is not waited for");
    }

    #[test]
    fn work_that_ended_before_it_was_counted_is_no_debt() {
        let workers = Workers::default();
        let work = workers.begin();
        work.done(1);
        assert!(workers.get_on());
        work.given();
        assert!(workers.get_on());
    }
}
