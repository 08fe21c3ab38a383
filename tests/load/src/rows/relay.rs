//! Rows 1 and 2: 50 pairs, both sides there; every message is stored durably, acknowledged, delivered and acknowledged again.

use std::rc::Rc;

use anyhow::Result;
use chat_proto::limits::SEND_WINDOW;

use super::{cpu_figure, leave, repeat};
use crate::Args;
use crate::client::name;
use crate::pair::{Pair, Shared};
use crate::proc::settle;
use crate::report::Report;
use crate::world::World;

const PAIRS: usize = 50;

/// One message in flight a pair.
pub async fn par(args: &Args, world: &mut World, report: &mut Report) -> Result<()> {
    relay(args, world, report, ("1", 1, 20.0, 16.0)).await
}

/// As many as the window allows.
pub async fn thr(args: &Args, world: &mut World, report: &mut Report) -> Result<()> {
    relay(args, world, report, ("2", SEND_WINDOW, 4.0, 3.0)).await
}

async fn relay(
    args: &Args,
    world: &mut World,
    report: &mut Report,
    (row, window, must, aim): (&'static str, u64, f64, f64),
) -> Result<()> {
    let who = world.fresh(2 * PAIRS)?;
    let (first, middle) = (who.start, who.start + PAIRS);
    let senders = world.sessions(first..middle).await?;
    let receivers = world.sessions(middle..who.end).await?;
    let pid = world.server.pid()?;
    settle(pid, std::time::Duration::from_secs(5)).await?;
    let before = world.flush_us()?;
    let shared = Rc::new(Shared::default());
    let mut pairs = tokio::task::JoinSet::new();
    for (n, (sender, receiver)) in senders.into_iter().zip(receivers).enumerate() {
        let pair = Pair { sender, receiver, to: name(middle + n) };
        let shared = Rc::clone(&shared);
        pairs.spawn_local(async move { pair.run(window, &shared).await });
    }
    let samples = tokio::select! {
        samples = repeat(args, pid, || shared.delivered.get()) => samples?,
        // A pair ends before it is told only when something went wrong.
        Some(ended) = pairs.join_next() => { ended??; anyhow::bail!("a pair stopped by itself") }
    };
    shared.stop.set(true);
    let mut sessions = Vec::new();
    while let Some(pair) = pairs.join_next().await {
        let pair = pair??;
        sessions.extend([pair.sender, pair.receiver]);
    }
    let flush = (before, world.flush_us()?);
    let what = format!("durable relay, {PAIRS} pairs x {window}");
    report.add(cpu_figure(row, what, must, aim, &samples, flush));
    leave(sessions, pid).await
}
