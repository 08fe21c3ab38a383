//! Row 5: from a message's call to its acknowledgement, one in flight, in units of this disk's flush in the same minute.

use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;

use super::leave;
use crate::Args;
use crate::client::{BODY, Session, name};
use crate::report::{Figure, Goal, Report};
use crate::world::World;

/// Shorter stretches than elsewhere: the disk's flush must not have changed meanwhile.
const STRETCH: Duration = Duration::from_millis(700);

/// Each repetition: the disk, messages, the disk again.
pub async fn run(args: &Args, world: &mut World, report: &mut Report) -> Result<()> {
    let who = world.fresh(2)?;
    let mut sender = world.sessions(who.start..who.start + 1).await?.remove(0);
    let to = name(who.start + 1);
    acknowledged(&mut sender, &to).await?;
    let (mut p50, mut p99, mut over) = (Vec::new(), Vec::new(), Vec::new());
    let first = world.flush_us()?;
    let mut before = first;
    for _ in 0..2 * args.reps {
        let mut times = acknowledged(&mut sender, &to).await?;
        let after = world.flush_us()?;
        times.sort_by(f64::total_cmp);
        p50.push(times[times.len() / 2]);
        p99.push(times[times.len() * 99 / 100]);
        over.push(times[times.len() / 2] - (before + after) / 2.0);
        before = after;
    }
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

/// Times to the acknowledgement, in microseconds.
async fn acknowledged(sender: &mut Session, to: &str) -> Result<Vec<f64>> {
    let body = Bytes::from(vec![b'x'; BODY]);
    let mut times = Vec::new();
    let end = Instant::now() + STRETCH;
    while Instant::now() < end || times.is_empty() {
        let began = Instant::now();
        sender.send(to, body.clone());
        while sender.open() > 0 {
            sender.next().await?;
        }
        times.push(began.elapsed().as_secs_f64() * 1e6);
    }
    Ok(times)
}
