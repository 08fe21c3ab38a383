//! Row 4: kill -9 of the server right after acknowledgements; then everything acknowledged must be there, once.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use chat_proto::limits::SEND_WINDOW;

use crate::Args;
use crate::client::{BODY, Event, Session, device_id, name};
use crate::report::{Figure, Goal, Report};
use crate::world::World;

const SENDERS: usize = 4;
const AWAY: usize = 16;
/// The message after all others: whoever has it has everything before it.
const END: &[u8] = b"end";

/// A sender's last place before the kill, and the last one acknowledged.
struct Promised {
    device: [u8; 16],
    before: u64,
    acknowledged: u64,
}

/// Each repetition kills the server somewhere else in its work.
pub async fn run(args: &Args, world: &mut World, report: &mut Report) -> Result<()> {
    let before = world.flush_us()?;
    let (mut lost, mut promised) = (Vec::new(), 0);
    for rep in 0..args.reps {
        let (missing, of) = kill_once(world, Duration::from_millis(300 + 137 * rep as u64 % 1000)).await?;
        lost.push(missing as f64);
        promised += of;
    }
    report.add(Figure {
        row: "4",
        what: "acknowledged, then lost by kill -9".into(),
        unit: "messages",
        values: lost,
        goal: Goal { must: Some(0.0), aim: Some(0.0), more: false },
        flush_us: (before, world.flush_us()?),
        note: format!("{promised} acknowledged in {} kills; power cuts are tests/faults' business", args.reps),
    });
    Ok(())
}

/// How many were lost, and of how many.
async fn kill_once(world: &mut World, after: Duration) -> Result<(u64, u64)> {
    let who = world.fresh(SENDERS + AWAY)?;
    let away = who.start + SENDERS..who.end;
    let mut senders = tokio::task::JoinSet::new();
    for (n, session) in world.sessions(who.start..who.start + SENDERS).await?.into_iter().enumerate() {
        senders.spawn_local(until_killed(session, device_id(who.start + n), away.clone().map(name).collect()));
    }
    tokio::time::sleep(after).await;
    world.server.kill();
    let promised = senders.join_all().await;
    world.up()?;
    let mut last = world.sessions(who.start..who.start + 1).await?.remove(0);
    away.clone().for_each(|n| last.send(&name(n), Bytes::from_static(END)));
    while last.open() > 0 {
        last.next().await?;
    }
    last.logout().await?;
    let mut found: HashMap<([u8; 16], u64), u32> = HashMap::new();
    for receiver in world.sessions(away).await? {
        fetch(receiver, &mut found).await?;
    }
    if let Some((which, times)) = found.iter().find(|(_, times)| **times != 1) {
        bail!("place {} is there {times} times", which.1);
    }
    let places = promised.iter().flat_map(|p| (p.before + 1..=p.acknowledged).map(|cseq| (p.device, cseq)));
    let missing = places.filter(|place| !found.contains_key(place)).count() as u64;
    Ok((missing, promised.iter().map(|p| p.acknowledged - p.before).sum()))
}

/// Sends until the connection breaks; what was read by then was promised.
async fn until_killed(mut session: Session, device: [u8; 16], away: Vec<String>) -> Promised {
    let before = session.sent();
    let body = Bytes::from(vec![b'x'; BODY]);
    loop {
        while session.open() < SEND_WINDOW {
            let to = &away[session.sent() as usize % away.len()];
            session.send(to, body.clone());
        }
        if session.next().await.is_err() {
            return Promised { device, before, acknowledged: session.settled() };
        }
    }
}

/// Takes in everything that waited for an account, up to the last message.
async fn fetch(mut receiver: Session, found: &mut HashMap<([u8; 16], u64), u32>) -> Result<()> {
    loop {
        let Event::Delivered(entry) = receiver.next().await? else { continue };
        if entry.body == END {
            return receiver.logout().await;
        }
        let device = entry.device[..].try_into().context("a device id has 16 bytes")?;
        *found.entry((device, entry.cseq)).or_default() += 1;
    }
}
