//! Row 5: from a message's call to its acknowledgement, one in flight; and less the disk's flush, which is measured between
//! the messages, one by one, because it changes by the second.

use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;

use super::leave;
use crate::Args;
use crate::client::{BODY, Session, name};
use crate::disk::Probe;
use crate::report::{Figure, Goal, Report};
use crate::world::World;

/// Each repetition: a message, a flush, a message, a flush…
pub async fn run(args: &Args, world: &mut World, report: &mut Report) -> Result<()> {
    let who = world.fresh(2)?;
    let mut sender = world.sessions(who.start..who.start + 1).await?.remove(0);
    let to = name(who.start + 1);
    let mut probe = Probe::new(world.dir())?;
    let (warm, stretch) = (Duration::from_secs_f64(args.warm), Duration::from_secs_f64(args.secs));
    alternate(&mut sender, &to, &mut probe, warm).await?;
    let (mut p50, mut p99, mut over) = (Vec::new(), Vec::new(), Vec::new());
    let first = world.flush_us()?;
    for _ in 0..args.reps {
        let (messages, flushes) = alternate(&mut sender, &to, &mut probe, stretch).await?;
        p50.push(quantile(&messages, 50));
        p99.push(quantile(&messages, 99));
        over.push(quantile(&messages, 50) - quantile(&flushes, 50));
    }
    let before = world.flush_us()?;
    let figure = |what: &str, values, goal| Figure {
        row: "5",
        what: format!("acknowledgement, 1 in flight: {what}"),
        unit: "us",
        values,
        goal,
        flush_us: (first, before),
        note: String::new(),
    };
    let goal = Goal { must: Some(120.0), aim: Some(80.0), more: false };
    report.add(figure("p50 less one flush", over, goal));
    report.add(figure("p50", p50, Goal::default()));
    report.add(figure("p99", p99, Goal::default()));
    leave(vec![sender], world.server.pid()?).await
}

/// Times to the acknowledgement and times of the flushes between, in microseconds, ascending.
async fn alternate(
    sender: &mut Session,
    to: &str,
    probe: &mut Probe,
    stretch: Duration,
) -> Result<(Vec<f64>, Vec<f64>)> {
    let body = Bytes::from(vec![b'x'; BODY]);
    let (mut messages, mut flushes) = (Vec::new(), Vec::new());
    let end = Instant::now() + stretch;
    while Instant::now() < end || messages.is_empty() {
        let began = Instant::now();
        sender.send(to, body.clone());
        while sender.open() > 0 {
            sender.next().await?;
        }
        messages.push(began.elapsed().as_secs_f64() * 1e6);
        flushes.push(probe.one()?);
    }
    messages.sort_by(f64::total_cmp);
    flushes.sort_by(f64::total_cmp);
    Ok((messages, flushes))
}

fn quantile(sorted: &[f64], percent: usize) -> f64 {
    sorted.get(sorted.len() * percent / 100).copied().unwrap_or(f64::NAN)
}
