//! `chat-load`: starts a real chat-server, drives it with real clients over TLS, and prints the figures of the rows asked for
//! beside what they must be.
//!
//! The server has one core, this program the other; everything here runs on one thread.

mod client;
mod disk;
mod home;
mod pair;
mod proc;
mod report;
mod rows;
mod server;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};
use tokio::task::LocalSet;

use crate::report::Report;
use crate::world::World;

/// Measures a chat-server that it starts itself
#[derive(Debug, Parser)]
#[command(name = "chat-load", version)]
pub struct Args {
    /// What to measure
    #[arg(value_enum, default_value = "all")]
    rows: Vec<Row>,
    /// Repetitions; the figure is their median
    #[arg(long, default_value_t = 5)]
    reps: usize,
    /// Seconds of one repetition, after the warm-up
    #[arg(long, default_value_t = 3.0)]
    secs: f64,
    /// Seconds of warm-up
    #[arg(long, default_value_t = 1.0)]
    warm: f64,
    /// One JSON object per figure instead of a table
    #[arg(long)]
    json: bool,
    /// Where the server's directory is made; its disk is the one that is measured
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Leave the server's directory behind, and use it again when it is there
    #[arg(long, requires = "dir")]
    keep_dir: bool,
    /// Numbers of accounts for `store`: its cost must not grow with them
    #[arg(long, value_delimiter = ',', default_values_t = [20, 1_000])]
    accounts: Vec<usize>,
    /// Numbers of sessions for `idle`
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 10_000])]
    sessions: Vec<usize>,
    /// Senders of `store`, each with 64 messages on the way
    #[arg(long, default_value_t = 1)]
    senders: usize,
    /// Where chat-server, chatd and chatctl are; beside this program by default
    #[arg(long, value_name = "DIR")]
    bin_dir: Option<PathBuf>,
    /// The server's core
    #[arg(long, default_value_t = 0)]
    server_core: usize,
    /// The load's core
    #[arg(long, default_value_t = 1)]
    load_core: usize,
}

/// A row of figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Row {
    /// Everything below
    All,
    /// Row 1: 50 pairs, one message in flight each, stored and delivered to users who are there
    Par,
    /// Row 2: the same with 64 in flight each
    Thr,
    /// Row 3: to users who are away, 64 unacknowledged
    Store,
    /// Row 4: acknowledged, then lost by kill -9
    Lost,
    /// Row 5: time to the acknowledgement, one message in flight
    Latency,
    /// Row 6: a broadcast to 1,000 sessions
    Fanout,
    /// Rows 7 and 8: memory and processor time of sessions that do nothing
    Idle,
    /// Row 9: login by device key
    Login,
    /// Row 13: one `chatctl message` process
    Ctl,
    /// Row 17: private sessions between two chatd on loopback
    Private,
    /// What honest users feel while others attack
    Attack,
    /// The storage shape alone: keyed rows beside the log and its folder, without a server
    Shape,
}

impl Args {
    /// The rows to run, each once, in the order of their numbers.
    fn chosen(&self) -> Vec<Row> {
        let all = Row::value_variants().iter().copied().filter(|row| *row != Row::All);
        all.filter(|row| self.rows.contains(row) || self.rows.contains(&Row::All)).collect()
    }
}

fn main() -> ExitCode {
    chat_link::install_provider();
    let args = Args::parse();
    match measure(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chat-load: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(args: &Args) -> Result<()> {
    proc::pin_self(args.load_core).context("cannot pin the load to its core")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    let mut report = Report::new(args.json);
    local.block_on(&runtime, async {
        let mut world = World::make(args).await?;
        for row in args.chosen() {
            eprintln!("# {row:?}");
            rows::run(row, args, &mut world, &mut report).await.with_context(|| format!("row {row:?}"))?;
        }
        world.close()
    })?;
    report.print();
    Ok(())
}
