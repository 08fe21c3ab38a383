//! Row 9: from a connection to an open session, by device key; eight at a time, each gone again as soon as it is in. And the
//! same where all stay and are told of each other, which is row 12's business.

use std::time::Duration;

use anyhow::Result;

use super::{Sample, best, company, cpu_figure, leave};
use crate::Args;
use crate::proc::{Meter, settle};
use crate::report::{Figure, Goal, Report};
use crate::world::World;

const LOGINS: usize = 1000;

/// The same devices come again in every repetition, as after a restart of the server.
pub async fn run(args: &Args, world: &mut World, report: &mut Report) -> Result<()> {
    let who = world.fresh(LOGINS)?;
    let pid = world.server.pid()?;
    // Everybody was here: nobody is announced who comes back at once.
    drop(world.sessions(who.clone()).await?);
    settle(pid, Duration::from_secs(5)).await?;
    let before = world.flush_us()?;
    let mut alone = Vec::new();
    for _ in 0..args.reps {
        let meter = Meter::start(pid)?;
        for start in who.clone().step_by(8) {
            drop(world.sessions(start..who.end.min(start + 8)).await?);
        }
        alone.push(Sample { done: LOGINS as u64, seen: meter.read()? });
        settle(pid, Duration::from_secs(2)).await?;
    }
    let flush = (before, world.flush_us()?);
    report.add(cpu_figure("9", "login by device key".into(), 250.0, 170.0, &best(alone, args.reps), flush));
    let told = together(args, world, who).await?;
    report.add(Figure {
        row: "12",
        what: format!("login while up to {LOGINS} are told"),
        unit: "us CPU each",
        values: told.iter().map(Sample::cpu_us).collect(),
        goal: Goal::default(),
        flush_us: (flush.1, world.flush_us()?),
        note: company(&told),
    });
    Ok(())
}

/// All stay until the last one is in; then all leave.
async fn together(args: &Args, world: &World, who: std::ops::Range<usize>) -> Result<Vec<Sample>> {
    let pid = world.server.pid()?;
    leave(world.sessions(who.clone()).await?, pid).await?;
    let mut samples = Vec::new();
    for _ in 0..args.reps {
        let meter = Meter::start(pid)?;
        let sessions = world.sessions(who.clone()).await?;
        samples.push(Sample { done: LOGINS as u64, seen: meter.read()? });
        leave(sessions, pid).await?;
    }
    Ok(best(samples, args.reps))
}
