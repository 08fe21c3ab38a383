//! Rows 7 and 8: what sessions cost that do nothing, and the server before anybody came.

use std::rc::Rc;
use std::time::Duration;

use anyhow::Result;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::leave;
use crate::Args;
use crate::client::Session;
use crate::proc::{Meter, resident_kib, settle};
use crate::report::{Figure, Goal, Report};
use crate::world::World;

/// How long idle sessions are watched: the rule is a share of a core, keep-alive included.
const WATCHED: Duration = Duration::from_secs(10);

/// Once for each number of sessions, one account each.
pub async fn run(args: &Args, world: &mut World, report: &mut Report) -> Result<()> {
    let mut empty = Vec::new();
    for sessions in &args.sessions {
        let flush = world.flush_us()?;
        let (mut each, mut busy) = (Vec::new(), Vec::new());
        for _ in 0..args.reps.min(3) {
            let seen = watch(world, *sessions).await?;
            empty.push(seen.empty_mib);
            each.push(seen.each_kib);
            busy.push(seen.cpu_percent);
        }
        let flush_us = (flush, world.flush_us()?);
        let goal = |must, aim| Goal { must: Some(must), aim: Some(aim), more: false };
        let figure =
            |row, what, unit, values, goal| Figure { row, what, unit, values, goal, flush_us, note: String::new() };
        let what = format!("idle TLS session, one of {sessions}");
        report.add(figure("7", what, "KiB resident", each, goal(14.0, 10.0)));
        let what = format!("{sessions} idle sessions");
        report.add(figure("8", what, "% of a core", busy, goal(0.2, 0.0)));
    }
    let flush = world.flush_us()?;
    report.add(Figure {
        row: "8",
        what: "empty server".into(),
        unit: "MiB resident",
        values: empty,
        goal: Goal { must: Some(12.0), aim: Some(8.0), more: false },
        flush_us: (flush, flush),
        note: String::new(),
    });
    Ok(())
}

/// What one look saw.
struct Seen {
    empty_mib: f64,
    each_kib: f64,
    cpu_percent: f64,
}

async fn watch(world: &mut World, sessions: usize) -> Result<Seen> {
    let who = world.fresh(sessions)?;
    let pid = world.server.pid()?;
    settle(pid, Duration::from_secs(5)).await?;
    let before = resident_kib(pid)?;
    let stop = Rc::new(Notify::new());
    let mut all = JoinSet::new();
    // In parts, so that those who are in answer the server while others come.
    for start in who.clone().step_by(64) {
        for session in world.sessions(start..who.end.min(start + 64)).await? {
            all.spawn_local(sit(session, Rc::clone(&stop)));
        }
    }
    settle(pid, Duration::from_secs(20)).await?;
    let each_kib = (resident_kib(pid)? - before) / sessions as f64;
    let meter = Meter::start(pid)?;
    tokio::time::sleep(WATCHED).await;
    let seen = meter.read()?;
    stop.notify_waiters();
    let mut everybody = Vec::with_capacity(sessions);
    while let Some(session) = all.join_next().await {
        everybody.push(session??);
    }
    for some in chunks(everybody, 500) {
        leave(some, pid).await?;
    }
    Ok(Seen { empty_mib: before / 1024.0, each_kib, cpu_percent: seen.cpu / seen.secs * 100.0 })
}

/// Answers what the server asks, until told to stop.
async fn sit(mut session: Session, stop: Rc<Notify>) -> Result<Session> {
    let stopping = stop.notified();
    tokio::pin!(stopping);
    loop {
        tokio::select! {
            event = session.next() => drop(event?),
            () = &mut stopping => return Ok(session),
        }
    }
}

fn chunks(mut all: Vec<Session>, size: usize) -> impl Iterator<Item = Vec<Session>> {
    std::iter::from_fn(move || {
        let rest = all.split_off(size.min(all.len()));
        let some = std::mem::replace(&mut all, rest);
        (!some.is_empty()).then_some(some)
    })
}
