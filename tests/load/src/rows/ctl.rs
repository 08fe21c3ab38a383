//! Row 13: one `chatctl message` process from its start to its end, acknowledged by the server, through a chatd.

use std::process::Output;
use std::time::Instant;

use anyhow::Result;

use crate::Args;
use crate::home::Home;
use crate::report::{Figure, Goal, Report};
use crate::world::World;

const RUNS: usize = 20;
/// Flushes that a message waits for one after the other: the sender's outbox, the server's log, the verdict in the outbox.
const FLUSHES: f64 = 3.0;

/// alice writes to bob, who is away.
pub async fn run(args: &Args, world: &mut World, report: &mut Report) -> Result<()> {
    world.fresh(0)?;
    let print = world.server.run(&["cert", "fingerprint"])?;
    let server = ["--server", world.server.address(), "--trust", &print];
    let mut alice = Home::start(world, "alice")?;
    let mut bob = Home::start(world, "bob")?;
    let tag = std::process::id();
    let (from, to) = (format!("alice{tag}"), format!("bob{tag}"));
    bob.register(&to, &server)?;
    alice.register(&from, &server)?;
    bob.stop();
    let send = || alice.ctl(&["message", &to, "hi"]);
    (0..5).try_for_each(|_| send().map(drop))?;
    let (mut times, mut over) = (Vec::new(), Vec::new());
    let first = world.flush_us()?;
    let mut before = first;
    for _ in 0..args.reps {
        let mut some = (0..RUNS).map(|_| timed(&send)).collect::<Result<Vec<f64>>>()?;
        let after = world.flush_us()?;
        some.sort_by(f64::total_cmp);
        times.push(some[RUNS / 2]);
        over.push(some[RUNS / 2] - FLUSHES * (before + after) / 2000.0);
        before = after;
    }
    let figure = |what: &str, values, goal| Figure {
        row: "13",
        what: format!("chatctl message: {what}"),
        unit: "ms",
        values,
        goal,
        flush_us: (first, before),
        note: format!("{RUNS} processes a repetition; it waits for three flushes: queued, accepted, verdict kept"),
    };
    report.add(figure("p50 less three flushes", over, Goal { must: Some(10.0), aim: Some(3.0), more: false }));
    report.add(figure("p50", times, Goal::default()));
    alice.stop();
    Ok(())
}

/// Milliseconds.
fn timed(send: &impl Fn() -> Result<Output>) -> Result<f64> {
    let began = Instant::now();
    send()?;
    Ok(began.elapsed().as_secs_f64() * 1e3)
}
