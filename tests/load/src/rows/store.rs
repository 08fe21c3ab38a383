//! Row 3: messages to users who are away, 64 unacknowledged a sender. The cost must not grow with the number of accounts.

use std::cell::Cell;
use std::rc::Rc;

use anyhow::Result;
use bytes::Bytes;
use chat_proto::limits::SEND_WINDOW;

use super::{Sample, company, cpu_figure, leave, repeat};
use crate::Args;
use crate::client::{BODY, Event, Session, name};
use crate::report::{Figure, Goal, Report};
use crate::world::World;

/// Once for each number of accounts.
pub async fn run(args: &Args, world: &mut World, report: &mut Report) -> Result<()> {
    for accounts in &args.accounts {
        store(args, world, report, *accounts).await?;
    }
    Ok(())
}

async fn store(args: &Args, world: &mut World, report: &mut Report, accounts: usize) -> Result<()> {
    let who = world.fresh(accounts + args.senders)?;
    let away: Rc<Vec<String>> = Rc::new((who.start..who.start + accounts).map(name).collect());
    let senders = world.sessions(who.start + accounts..who.end).await?;
    let pid = world.server.pid()?;
    let before = world.flush_us()?;
    let done = Rc::new(Cell::new(0));
    let stop = Rc::new(Cell::new(false));
    let mut tasks = tokio::task::JoinSet::new();
    for (n, sender) in senders.into_iter().enumerate() {
        tasks.spawn_local(pour(sender, Rc::clone(&away), n, Rc::clone(&done), Rc::clone(&stop)));
    }
    let samples = tokio::select! {
        samples = repeat(args, pid, || done.get()) => samples?,
        Some(ended) = tasks.join_next() => { ended??; anyhow::bail!("a sender stopped by itself") }
    };
    stop.set(true);
    let mut sessions = Vec::new();
    while let Some(sender) = tasks.join_next().await {
        sessions.push(sender??);
    }
    let flush = (before, world.flush_us()?);
    let what = format!("durable store, {} x {SEND_WINDOW} unacked, {accounts} accounts away", args.senders);
    report.add(cpu_figure("3", what.clone(), 6.0, 3.5, &samples, flush));
    report.add(Figure {
        row: "3",
        what,
        unit: "acknowledged/s",
        values: samples.iter().map(Sample::per_second).collect(),
        goal: Goal { must: Some(100_000.0), aim: None, more: true },
        flush_us: flush,
        note: company(&samples),
    });
    leave(sessions, pid).await
}

/// Keeps the window full until told to stop. Recipients come in an order that does not follow their numbers.
async fn pour(
    mut sender: Session,
    away: Rc<Vec<String>>,
    mut at: usize,
    done: Rc<Cell<u64>>,
    stop: Rc<Cell<bool>>,
) -> Result<Session> {
    const STRIDE: usize = 7919;
    let body = Bytes::from(vec![b'x'; BODY]);
    let count = |event: &Event| {
        if let Event::Accepted(n) = event {
            done.set(done.get() + n);
        }
    };
    loop {
        while !stop.get() && sender.open() < SEND_WINDOW {
            at = (at + STRIDE) % away.len();
            sender.send(&away[at], body.clone());
        }
        if sender.open() == 0 {
            return Ok(sender);
        }
        count(&sender.next().await?);
        while let Some(event) = sender.ready()? {
            count(&event);
        }
    }
}
