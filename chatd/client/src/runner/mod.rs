//! The runner: a second process of chatd that keeps what the first one gives up when it confines itself. It starts the programs of
//! hooks (`serve`) and opens files that are to be sent (`open`), and nothing else: which programs there are is told it before
//! chatd is confined, later only the name of a hook and its event; of files it opens none that its user hides. So whoever takes over
//! chatd has neither a shell nor the user's keys.
//!
//! `main` starts it ([`begin`]) before any thread: chatd once more, with an argument that people do not see, and with a socket as its
//! input and another as its output. It ends with chatd, however that ends, and takes what it runs along. It is not started anew: that
//! needs rights that chatd has given up. Without it hooks wait for the next start, and `status` says so.

mod open;
mod serve;

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as Socket;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot, watch};

pub use open::Opener;
pub use serve::serve;

use crate::hooks::{Input, Program, Report};

/// The argument that makes a runner of chatd.
pub const ARGUMENT: &str = "--runner";

/// What the runner is told once, before chatd is confined.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Setup {
    /// The programs of hooks by the hooks' names.
    pub programs: HashMap<String, Program>,
    /// The user's home directory, whose hidden files stay where they are.
    pub home: PathBuf,
}

/// A line to the runner.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Order {
    Setup(Setup),
    Run { id: u64, hook: String, input: Input },
    Cancel { id: u64 },
}

/// A line from the runner: a run ended.
#[derive(Debug, Serialize, Deserialize)]
struct Ended {
    id: u64,
    report: Report,
}

/// A runner that nobody asks yet.
pub struct Begun {
    orders: Socket,
    files: OwnedFd,
    child: Child,
}

/// Starts it and tells it what it may do. Called in the only thread, before the sandbox.
pub fn begin(setup: Setup) -> io::Result<Begun> {
    let (mut orders, theirs) = Socket::pair()?;
    let (files, their_files) = open::pair()?;
    // The file that this process was started from, though another one lies in its place by now.
    let own = if cfg!(target_os = "linux") { PathBuf::from("/proc/self/exe") } else { std::env::current_exe()? };
    let child = Command::new(own)
        .arg0("chatd")
        .arg(ARGUMENT)
        .env_clear()
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::from(their_files))
        // A Ctrl-C is for chatd, which ends the runner when nothing needs it any more.
        .process_group(0)
        .spawn()?;
    orders.write_all(&line(&Order::Setup(setup))?)?;
    Ok(Begun { orders, files, child })
}

fn line(content: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(content)?;
    line.push(b'\n');
    Ok(line)
}

/// The way to the runner; clones share it.
#[derive(Clone)]
pub struct Runner {
    // Not bounded itself: runs are (of events by permits, of `hooks test` by the calls that a connection has open), and each has at most
    // two orders. An order to end one must not wait.
    asks: mpsc::UnboundedSender<Ask>,
    next: Arc<AtomicU64>,
    gone: watch::Receiver<bool>,
}

/// What the task that has the socket is asked.
enum Ask {
    Run(u64, String, Input, oneshot::Sender<Report>),
    Cancel(u64),
}

impl Begun {
    /// Starts the task that speaks with it, within a runtime.
    pub fn attach(self) -> io::Result<(Runner, Opener)> {
        let Begun { orders, files, child } = self;
        orders.set_nonblocking(true)?;
        let (reader, writer) = UnixStream::from_std(orders)?.into_split();
        let (asks, asked) = mpsc::unbounded_channel();
        let (tell, gone) = watch::channel(false);
        let talk = Talk { lines: BufReader::new(reader).lines(), writer, waiting: HashMap::new() };
        tokio::spawn(async move {
            let cause = talk.run(asked).await;
            // The task ends before the runner only at chatd's own end.
            if let Some(cause) = cause {
                tracing::error!(cause, "the runner has ended: hooks wait and no file is sent until chatd is restarted");
                tell.send_replace(true);
                // Nobody asks for its exit code, but it must not stay behind as a zombie.
                let mut child = child;
                let _ = tokio::task::spawn_blocking(move || child.wait()).await;
            }
        });
        Ok((Runner { asks, next: Arc::default(), gone }, Opener::outside(files)))
    }
}

impl Runner {
    /// Runs the program of a hook; dropped, it ends the program with all that it started. Nothing where the runner has ended.
    pub async fn run(&self, hook: &str, input: Input) -> Option<Report> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (reply, report) = oneshot::channel();
        self.asks.send(Ask::Run(id, hook.to_owned(), input, reply)).ok()?;
        let mut cancel = Cancel { runner: self, id: Some(id) };
        let report = report.await.ok();
        cancel.id = None;
        report
    }

    /// It has ended.
    pub fn is_gone(&self) -> bool {
        *self.gone.borrow()
    }
}

/// Ends a run that nobody waits for any more.
struct Cancel<'a> {
    runner: &'a Runner,
    id: Option<u64>,
}

impl Drop for Cancel<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            // One that has ended has nothing to end.
            let _ = self.runner.asks.send(Ask::Cancel(id));
        }
    }
}

/// The conversation with the runner.
struct Talk {
    lines: Lines<BufReader<OwnedReadHalf>>,
    writer: OwnedWriteHalf,
    waiting: HashMap<u64, oneshot::Sender<Report>>,
}

impl Talk {
    /// Until nobody asks any more, or the runner has ended: then it says why.
    async fn run(mut self, mut asked: mpsc::UnboundedReceiver<Ask>) -> Option<String> {
        loop {
            let done = tokio::select! {
                ask = asked.recv() => match ask {
                    Some(ask) => self.ask(ask).await,
                    None => return None,
                },
                line = self.lines.next_line() => match line {
                    Ok(Some(line)) => self.ended(&line),
                    Ok(None) => return Some("it closed its socket".to_owned()),
                    Err(error) => Err(error),
                },
            };
            if let Err(error) = done {
                return Some(error.to_string());
            }
        }
    }

    async fn ask(&mut self, ask: Ask) -> io::Result<()> {
        let order = match ask {
            Ask::Run(id, hook, input, reply) => {
                self.waiting.insert(id, reply);
                Order::Run { id, hook, input }
            }
            Ask::Cancel(id) => {
                self.waiting.remove(&id);
                Order::Cancel { id }
            }
        };
        self.writer.write_all(&line(&order)?).await
    }

    fn ended(&mut self, line: &str) -> io::Result<()> {
        let Ended { id, report } = serde_json::from_str(line)?;
        if let Some(reply) = self.waiting.remove(&id) {
            // Whoever waited may have gone.
            let _ = reply.send(report);
        }
        Ok(())
    }
}
