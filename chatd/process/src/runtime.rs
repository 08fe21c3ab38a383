//! The tokio runtime of a daemon, built after the fork and after logging; and the count of threads, of which there is one until then.

use std::io;

use tokio::runtime::{Builder, Runtime};

/// Threads for work that blocks (files, name look-ups): few, as owners have their own.
const BLOCKING_THREADS: usize = 64;

/// How many threads run tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// The calling thread alone: a daemon of one user, which should be small.
    One,
    /// One a core.
    Cores,
}

/// Builds the runtime; `name` is that of its threads.
pub fn build(threads: Threads, name: &str) -> io::Result<Runtime> {
    let mut builder = match threads {
        Threads::One => Builder::new_current_thread(),
        Threads::Cores => Builder::new_multi_thread(),
    };
    if threads == Threads::Cores {
        builder.worker_threads(std::thread::available_parallelism()?.get());
    }
    builder.enable_all().thread_name(name).max_blocking_threads(BLOCKING_THREADS).build()
}

/// Threads that this process has now. Where the system does not show them nobody can tell: the one that asks.
#[cfg(unix)]
pub(crate) fn threads_now() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_run() {
        for threads in [Threads::One, Threads::Cores] {
            assert_eq!(build(threads, "test").unwrap().block_on(async { 7 }), 7);
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn threads_are_counted() {
        let (ended, wait) = std::sync::mpsc::channel::<()>();
        let another = std::thread::spawn(move || wait.recv().is_err());
        assert!(threads_now() >= 2);
        drop(ended);
        assert!(another.join().unwrap());
    }
}
