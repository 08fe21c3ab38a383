//! The runner's own side: what it does from its first line to the end of its input.

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream as Socket;
use std::process::ExitCode;

use chat_process::runtime::{self, Threads};
use chat_proto::control::hooks::Outcome;
use chat_proto::display;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedReadHalf;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::{AbortHandle, JoinSet};

use super::{Ended, Order, Setup, line, open};
use crate::hooks::{Input, Report, run as run_to_the_end};

/// The whole life of a runner. Its input and output are the sockets to chatd.
pub fn serve() -> ExitCode {
    match try_serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where stderr is closed there is nobody left to tell.
            let _ = writeln!(io::stderr(), "chatd: the runner ended: {}", display::cause(&error.to_string()));
            ExitCode::FAILURE
        }
    }
}

fn try_serve() -> io::Result<()> {
    let orders = Socket::from(rustix::stdio::stdin().try_clone_to_owned()?);
    let files = rustix::stdio::stdout().try_clone_to_owned()?;
    orders.set_nonblocking(true)?;
    let runtime = runtime::build(Threads::One, "runner")?;
    runtime.block_on(converse(orders, files))?;
    runtime.shutdown_background();
    Ok(())
}

async fn converse(orders: Socket, files: OwnedFd) -> io::Result<()> {
    ignore_signals()?;
    let (reader, mut writer) = UnixStream::from_std(orders)?.into_split();
    let mut lines = BufReader::new(reader).lines();
    let Some(Order::Setup(setup)) = next(&mut lines).await? else {
        return Err(io::Error::other("it is started by chatd, and by nobody else"));
    };
    let home = setup.home.clone();
    std::thread::Builder::new().name("files".into()).spawn(move || open::serve(files.as_fd(), &home))?;
    let mut runs = Runs { setup, tasks: JoinSet::new(), handles: HashMap::new() };
    loop {
        tokio::select! {
            order = next(&mut lines) => match order? {
                Some(order) => runs.order(order),
                // chatd has ended, and wants nothing to be left that it started.
                None => break,
            },
            Some(ended) = runs.tasks.join_next() => if let Ok(ended) = ended {
                runs.handles.remove(&ended.id);
                writer.write_all(&line(&ended)?).await?;
            }
        }
    }
    runs.tasks.shutdown().await;
    Ok(())
}

/// A service manager asks all processes of a service to end; this one ends with chatd, which may need it until then.
fn ignore_signals() -> io::Result<()> {
    for kind in [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()] {
        let mut signals = signal(kind)?;
        tokio::spawn(async move { while signals.recv().await.is_some() {} });
    }
    Ok(())
}

async fn next(lines: &mut Lines<BufReader<OwnedReadHalf>>) -> io::Result<Option<Order>> {
    match lines.next_line().await? {
        Some(line) => Ok(Some(serde_json::from_str(&line)?)),
        None => Ok(None),
    }
}

/// What runs.
struct Runs {
    setup: Setup,
    tasks: JoinSet<Ended>,
    handles: HashMap<u64, AbortHandle>,
}

impl Runs {
    fn order(&mut self, order: Order) {
        match order {
            Order::Run { id, hook, input } => self.run(id, &hook, input),
            Order::Cancel { id } => {
                if let Some(handle) = self.handles.remove(&id) {
                    handle.abort();
                }
            }
            // Once and for all: what is configured was told by a chatd that was not confined yet.
            Order::Setup(_) => {}
        }
    }

    fn run(&mut self, id: u64, hook: &str, input: Input) {
        let run = self.setup.programs.get(hook).map(|program| program.run(input));
        let handle = self.tasks.spawn(async move {
            let report = match run {
                Some(run) => run_to_the_end(run).await,
                None => {
                    Report::of(Outcome::NotStarted { detail: "no such hook was configured at chatd's start".into() })
                }
            };
            Ended { id, report }
        });
        self.handles.insert(id, handle);
    }
}
