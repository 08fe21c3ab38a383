//! The threads between the async world and the blocking store: one writer that commits whatever waits as one batch, one reader.

use std::sync::Arc;

use chat_process::watchdog::Work;
use chat_proto::limits::{WRITER_BATCH, WRITER_QUEUE};
use tokio::sync::{mpsc, oneshot};

use super::{Done, History, Trouble, Write};

/// Called once when the storage failed: what holds is unknown, the process must end (contract E2).
pub type OnBroken = Arc<dyn Fn(String) + Send + Sync>;

/// A finished write with what its submitter wanted to remember.
pub struct Committed<T> {
    /// What it did; the error is [`Trouble::Full`] alone.
    pub outcome: Result<Done, Trouble>,
    /// The submitter's own.
    pub then: T,
}

/// Comes true when a thread has ended and its connection is closed: only then may the files be removed.
pub type Ended = oneshot::Receiver<()>;

/// What a start gives: the way to the thread, its results, its end.
pub type Started<T> = (Writer<T>, mpsc::UnboundedReceiver<Committed<T>>, Ended);

/// The writing side. Results come back in order on the channel that [`Writer::start`] gave.
pub struct Writer<T> {
    jobs: mpsc::Sender<(Write, T)>,
    work: Work,
}

impl<T: Send + 'static> Writer<T> {
    /// Starts the thread; it ends when the writer is dropped and everything submitted is committed. `work` counts what it has to
    /// do.
    pub fn start(name: &str, mut history: impl History, broken: OnBroken, work: Work) -> std::io::Result<Started<T>> {
        let (jobs, mut queue) = mpsc::channel(WRITER_QUEUE);
        // Not bounded itself: it never holds more than the bounded job queue let through and one batch.
        let (results, done) = mpsc::unbounded_channel();
        let (end, ended) = oneshot::channel();
        let counted = work.clone();
        std::thread::Builder::new().name(format!("write-{name}")).spawn(move || {
            let mut batch = Vec::new();
            while queue.blocking_recv_many(&mut batch, WRITER_BATCH) > 0 {
                let count = batch.len();
                if let Err(text) = run(&mut history, batch.drain(..), &results) {
                    broken(text);
                    return;
                }
                counted.done(count);
            }
            drop(history);
            let _ = end.send(());
        })?;
        Ok((Writer { jobs, work }, done, ended))
    }

    /// Hands a write over; gives it back when the queue is full or the thread has ended.
    pub fn submit(&self, write: Write, then: T) -> Result<(), T> {
        self.work.given();
        self.jobs.try_send((write, then)).map_err(|refused| {
            self.work.taken_back();
            refused.into_inner().1
        })
    }

    /// How many more writes may be submitted now.
    pub fn room(&self) -> usize {
        self.jobs.capacity()
    }
}

/// Commits a batch as one; when the disk is full, each alone, so that a small one still gets through.
fn run<T>(
    history: &mut impl History,
    batch: impl Iterator<Item = (Write, T)>,
    results: &mpsc::UnboundedSender<Committed<T>>,
) -> Result<(), String> {
    let (writes, thens): (Vec<Write>, Vec<T>) = batch.unzip();
    let outcomes = match history.commit(&writes) {
        Ok(done) => done.into_iter().map(Ok).collect(),
        Err(Trouble::Broken(text)) => return Err(text),
        Err(Trouble::Full) => one_by_one(history, &writes)?,
    };
    for (outcome, then) in outcomes.into_iter().zip(thens) {
        // An owner that ended wants no answers; what it submitted is committed all the same.
        let _ = results.send(Committed { outcome, then });
    }
    Ok(())
}

fn one_by_one(history: &mut impl History, writes: &[Write]) -> Result<Vec<Result<Done, Trouble>>, String> {
    let mut outcomes = Vec::with_capacity(writes.len());
    for write in writes {
        outcomes.push(match history.commit(std::slice::from_ref(write)) {
            Ok(mut done) => done.pop().ok_or(Trouble::Full),
            Err(Trouble::Full) => Err(Trouble::Full),
            Err(Trouble::Broken(text)) => return Err(text),
        });
    }
    Ok(outcomes)
}

type Asked = Box<dyn FnOnce(&mut dyn History) + Send>;

enum Question {
    Ask(Asked),
    Close,
}

/// The reading side; cheap to clone.
#[derive(Clone)]
pub struct Reader {
    questions: mpsc::Sender<Question>,
}

impl Reader {
    /// Starts the thread; it ends when it is closed or all clones are dropped.
    pub fn start(name: &str, mut history: impl History) -> std::io::Result<(Reader, Ended)> {
        let (questions, mut queue) = mpsc::channel::<Question>(64);
        let (end, ended) = oneshot::channel();
        std::thread::Builder::new().name(format!("read-{name}")).spawn(move || {
            while let Some(Question::Ask(question)) = queue.blocking_recv() {
                question(&mut history);
            }
            drop(history);
            let _ = end.send(());
        })?;
        Ok((Reader { questions }, ended))
    }

    /// Asks the store something.
    pub async fn ask<A: Send + 'static>(
        &self,
        question: impl FnOnce(&mut dyn History) -> Result<A, Trouble> + Send + 'static,
    ) -> Result<A, Trouble> {
        let (answer, answered) = oneshot::channel();
        let boxed: Asked = Box::new(move |history| {
            // Whoever asked may have gone.
            let _ = answer.send(question(history));
        });
        let gone = || Trouble::Broken("the history was closed".into());
        self.questions.send(Question::Ask(boxed)).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }

    /// Ends the thread once what was asked is answered; later questions are refused.
    pub async fn close(&self) {
        // Already ended is as good.
        let _ = self.questions.send(Question::Close).await;
    }
}
