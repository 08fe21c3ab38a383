//! Row 6: one sender broadcasts to 1,000 sessions, four broadcasts on the way.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::{cpu_figure, leave, repeat};
use crate::Args;
use crate::client::{BODY, Event, Session};
use crate::proc::settle;
use crate::report::Report;
use crate::world::World;

const RECEIVERS: usize = 1000;
const WINDOW: u64 = 4;

/// What sender and receivers share.
#[derive(Default)]
struct Shared {
    delivered: Cell<u64>,
    /// Deliveries that each broadcast still lacks.
    lacking: RefCell<HashMap<u64, usize>>,
    /// A broadcast reached everybody.
    complete: Notify,
    /// No more broadcasts.
    stop: Cell<bool>,
    /// No more receiving.
    end: Notify,
}

/// Deliveries count when a receiver has them.
pub async fn run(args: &Args, world: &mut World, report: &mut Report) -> Result<()> {
    let who = world.fresh(RECEIVERS + 1)?;
    let mut sessions = world.sessions(who).await?;
    let pid = world.server.pid()?;
    let sender = sessions.remove(0);
    let shared = Rc::new(Shared::default());
    let mut receivers = JoinSet::new();
    for receiver in sessions {
        receivers.spawn_local(receive(receiver, Rc::clone(&shared)));
    }
    // The notices of a thousand logins have to go out first.
    settle(pid, Duration::from_secs(20)).await?;
    let before = world.flush_us()?;
    let mut broadcasts = JoinSet::new();
    broadcasts.spawn_local(broadcast(sender, Rc::clone(&shared)));
    let samples = tokio::select! {
        samples = repeat(args, pid, || shared.delivered.get()) => samples?,
        Some(ended) = receivers.join_next() => { ended??; anyhow::bail!("a receiver stopped by itself") }
        Some(ended) = broadcasts.join_next() => { ended??; anyhow::bail!("the sender stopped by itself") }
    };
    shared.stop.set(true);
    let mut sessions = Vec::new();
    while let Some(sender) = broadcasts.join_next().await {
        sessions.push(sender??);
    }
    shared.end.notify_waiters();
    while let Some(receiver) = receivers.join_next().await {
        sessions.push(receiver??);
    }
    let flush = (before, world.flush_us()?);
    report.add(cpu_figure("6", format!("broadcast to {RECEIVERS}, a delivery"), 2.0, 1.4, &samples, flush));
    leave(sessions, pid).await
}

/// Keeps four broadcasts on the way; ends when all that were sent have reached everybody.
async fn broadcast(mut sender: Session, shared: Rc<Shared>) -> Result<Session> {
    let body = Bytes::from(vec![b'x'; BODY]);
    loop {
        let stopped = shared.stop.get();
        while !stopped && (shared.lacking.borrow().len() as u64) < WINDOW {
            sender.send("", body.clone());
            shared.lacking.borrow_mut().insert(sender.sent(), RECEIVERS);
        }
        if stopped && shared.lacking.borrow().is_empty() && sender.open() == 0 {
            return Ok(sender);
        }
        tokio::select! {
            event = sender.next() => drop(event?),
            () = shared.complete.notified() => {}
        }
    }
}

async fn receive(mut receiver: Session, shared: Rc<Shared>) -> Result<Session> {
    loop {
        let stopping = shared.end.notified();
        let event = tokio::select! {
            event = receiver.next() => event?,
            () = stopping => return Ok(receiver),
        };
        arrived(&event, &shared);
        while let Some(event) = receiver.ready()? {
            arrived(&event, &shared);
        }
    }
}

fn arrived(event: &Event, shared: &Shared) {
    let Event::Delivered(entry) = event else { return };
    shared.delivered.set(shared.delivered.get() + 1);
    let mut lacking = shared.lacking.borrow_mut();
    if let Some(left) = lacking.get_mut(&entry.cseq) {
        *left -= 1;
        if *left == 0 {
            lacking.remove(&entry.cseq);
            shared.complete.notify_one();
        }
    }
}
