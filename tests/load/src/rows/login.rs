//! Row 9: from a connection to an open session, by device key; eight at a time, all stay.

use std::time::Duration;

use anyhow::Result;

use super::{Sample, best, cpu_figure, leave};
use crate::Args;
use crate::proc::{Meter, settle};
use crate::report::Report;
use crate::world::World;

const LOGINS: usize = 1000;

/// The same devices come again in every repetition, as after a restart of the server.
pub async fn run(args: &Args, world: &mut World, report: &mut Report) -> Result<()> {
    let who = world.fresh(LOGINS)?;
    let pid = world.server.pid()?;
    leave(world.sessions(who.clone()).await?, pid).await?;
    let before = world.flush_us()?;
    let mut samples = Vec::new();
    for _ in 0..args.reps {
        let meter = Meter::start(pid)?;
        let sessions = world.sessions(who.clone()).await?;
        samples.push(Sample { done: LOGINS as u64, seen: meter.read()? });
        leave(sessions, pid).await?;
        settle(pid, Duration::from_secs(5)).await?;
    }
    let flush = (before, world.flush_us()?);
    let samples = best(samples, args.reps);
    report.add(cpu_figure("9", "login by device key".into(), 250.0, 170.0, &samples, flush));
    Ok(())
}
