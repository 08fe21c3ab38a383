//! One file for each kind of row. A row prepares its people, lets them work, and adds its figures to the report.

mod attack;
mod ctl;
mod fanout;
mod idle;
mod latency;
mod login;
mod lost;
mod private;
mod relay;
mod shape;
mod store;

use std::time::Duration;

use anyhow::Result;

use crate::proc::{Meter, Seen, settle};
use crate::report::{Figure, Goal, Report};
use crate::world::World;
use crate::{Args, Row, client::Session};

/// Runs one row.
pub async fn run(row: Row, args: &Args, world: &mut World, report: &mut Report) -> Result<()> {
    match row {
        Row::All => Ok(()),
        Row::Par => relay::par(args, world, report).await,
        Row::Thr => relay::thr(args, world, report).await,
        Row::Store => store::run(args, world, report).await,
        Row::Lost => lost::run(args, world, report).await,
        Row::Latency => latency::run(args, world, report).await,
        Row::Fanout => fanout::run(args, world, report).await,
        Row::Idle => idle::run(args, world, report).await,
        Row::Login => login::run(args, world, report).await,
        Row::Ctl => ctl::run(args, world, report).await,
        Row::Private => private::run(args, world, report).await,
        Row::Attack => attack::run(args, world, report).await,
        Row::Shape => shape::run(args, world, report),
    }
}

/// One repetition: what was done, and what it took.
#[derive(Clone, Copy, Debug)]
struct Sample {
    done: u64,
    seen: Seen,
}

impl Sample {
    /// Microseconds of the server's processor time for one.
    fn cpu_us(&self) -> f64 {
        self.seen.cpu * 1e6 / self.done.max(1) as f64
    }

    fn per_second(&self) -> f64 {
        self.done as f64 / self.seen.secs
    }
}

/// Repetitions of work that is going on: a warm-up that is dropped, then one stretch after the other. `done` counts what was
/// done so far. Stretches beside other load are dropped where there are enough others, and twice as many are tried for that.
async fn repeat(args: &Args, pid: u32, done: impl Fn() -> u64) -> Result<Vec<Sample>> {
    tokio::time::sleep(Duration::from_secs_f64(args.warm)).await;
    let mut all = Vec::new();
    let quiet = |all: &[Sample]| all.iter().filter(|sample| sample.seen.quiet()).count();
    while quiet(&all) < args.reps && all.len() < 2 * args.reps {
        let (meter, before) = (Meter::start(pid)?, done());
        tokio::time::sleep(Duration::from_secs_f64(args.secs)).await;
        all.push(Sample { done: done() - before, seen: meter.read()? });
    }
    Ok(best(all, args.reps))
}

/// The quiet samples, filled up with the least disturbed ones.
fn best(mut all: Vec<Sample>, reps: usize) -> Vec<Sample> {
    all.sort_by(|a, b| a.seen.others.total_cmp(&b.seen.others));
    all.truncate(reps);
    all
}

/// How loaded the machine was, for a figure's note.
fn company(samples: &[Sample]) -> String {
    let worst = |of: fn(&Seen) -> f64| samples.iter().map(|s| of(&s.seen)).fold(0.0, f64::max);
    let others = worst(|seen| seen.others);
    let load = worst(|seen| seen.load);
    let mut note = format!("load's core {:.0} %", load * 100.0);
    if others >= 0.25 {
        note += &format!(", BESIDE OTHER LOAD of {others:.1} cores");
    }
    note
}

/// A figure of the processor time, with the rate in its note.
fn cpu_figure(
    row: &'static str,
    what: String,
    must: f64,
    aim: f64,
    samples: &[Sample],
    flush_us: (f64, f64),
) -> Figure {
    let mut rates: Vec<f64> = samples.iter().map(Sample::per_second).collect();
    rates.sort_by(f64::total_cmp);
    let rate = rates.get(rates.len() / 2).copied().unwrap_or(0.0);
    Figure {
        row,
        what,
        unit: "us CPU each",
        values: samples.iter().map(Sample::cpu_us).collect(),
        goal: Goal { must: Some(must), aim: Some(aim), more: false },
        flush_us,
        note: format!("{rate:.0}/s, {}", company(samples)),
    }
}

/// Everybody logs out, and the server comes to rest.
async fn leave(sessions: Vec<Session>, pid: u32) -> Result<()> {
    let tasks: Vec<_> = sessions.into_iter().map(|session| tokio::task::spawn_local(session.logout())).collect();
    for task in tasks {
        task.await??;
    }
    settle(pid, Duration::from_secs(20)).await
}
