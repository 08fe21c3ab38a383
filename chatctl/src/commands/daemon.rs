//! daemon status, start, stop, restart, logs, install, uninstall.

use std::fs::{File, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chat_proto::control::daemon::{DaemonInfo, DaemonStatus, DaemonStop};

use tokio::time::{Instant, sleep};

use super::Context;
use crate::args;
use crate::daemon::{CallError, Daemon, NoDaemon};
use crate::exit::Exit;
use crate::json::{self, members};
use crate::output::{End, Form, Shown};
use crate::paths::Places;
use crate::units::{Manager, systemd};
use crate::words::{self, troubles};

/// How often a log is looked at for more, and a lock for its end.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Bytes read from the end of a log: far more than the lines that are asked for.
const TAIL_BYTES: u64 = 4 * 1024 * 1024;

/// `daemon`.
pub async fn run(ctx: &mut Context, args: args::Daemon) -> Result<(), End> {
    match args {
        args::Daemon::Status => status(ctx).await,
        args::Daemon::Start => start(ctx).await,
        args::Daemon::Stop => stop(ctx).await,
        args::Daemon::Restart => restart(ctx).await,
        args::Daemon::Logs { follow, n } => logs(ctx, follow, n).await,
        args::Daemon::Install { linger } => install(ctx, linger).await,
        args::Daemon::Uninstall => uninstall(ctx).await,
    }
}

async fn status(ctx: &mut Context) -> Result<(), End> {
    match ctx.dial().await? {
        Some(mut daemon) => {
            let info = ask(ctx, &mut daemon).await?;
            report(ctx, &info, &words::daemon(&info, ctx.out.verbose, &ctx.out.clock), true)
        }
        None => {
            if ctx.out.form == Form::Json {
                ctx.out.object("daemon", members!({ "state": "stopped" }))?;
            }
            Err(troubles::not_running().into())
        }
    }
}

async fn ask(ctx: &Context, daemon: &mut Daemon) -> Result<DaemonInfo, End> {
    let info = daemon.call(&DaemonStatus {}, ctx.deadline()).await;
    info.map_err(|error| ctx.refused(error))
}

fn report(ctx: &Context, info: &DaemonInfo, words: &str, is_result: bool) -> Result<(), End> {
    match ctx.out.form {
        Form::Json => ctx.out.object("daemon", json::daemon(info)),
        Form::Plain => ctx.out.row(&["running", &info.version, &info.pid.to_string(), &info.socket]),
        Form::Human if is_result => ctx.out.line(words),
        Form::Human => ctx.out.success(words),
    }
}

async fn start(ctx: &mut Context) -> Result<(), End> {
    let running = ctx.dial().await?;
    let before = running.is_some();
    let mut daemon = match running {
        Some(daemon) => daemon,
        None => spawn(ctx).await?,
    };
    let info = ask(ctx, &mut daemon).await?;
    report(ctx, &info, &words::daemon_started(&info.version, before), false)
}

async fn spawn(ctx: &mut Context) -> Result<Daemon, End> {
    let daemon = crate::spawn::start(&ctx.places()?, &ctx.out.clock).await?;
    ctx.restart_clock();
    Ok(daemon)
}

async fn stop(ctx: &mut Context) -> Result<(), End> {
    let stopped = halt(ctx).await?;
    match ctx.out.form {
        Form::Json => ctx.out.object("daemon", members!({ "state": "stopped", "changed": stopped.is_some() })),
        Form::Plain => ctx.out.row(&["stopped"]),
        Form::Human => ctx.out.success(words::daemon_stopped(stopped.is_some())),
    }
}

async fn restart(ctx: &mut Context) -> Result<(), End> {
    let old = halt(ctx).await?;
    let mut daemon = spawn(ctx).await?;
    let info = ask(ctx, &mut daemon).await?;
    report(ctx, &info, &words::daemon_restarted(old.as_deref(), &info.version), false)
}

/// Stops chatd and waits until it is gone; its version, if it was there.
async fn halt(ctx: &mut Context) -> Result<Option<String>, End> {
    let sockets = ctx.places()?.sockets();
    let mut daemon = match Daemon::connect(&sockets, ctx.deadline(), &ctx.out.clock).await {
        Ok(daemon) => daemon,
        Err(NoDaemon::Absent) => return Ok(None),
        // That it does not fit is why it is to make way.
        Err(NoDaemon::Unusable(trouble)) if trouble.exit == Exit::Versions => {
            Daemon::unfit(&sockets, ctx.deadline()).await.ok_or(trouble)?
        }
        Err(NoDaemon::Unusable(trouble)) => return Err(trouble.into()),
    };
    match daemon.call(&DaemonStop {}, ctx.deadline()).await {
        // One that hangs up in place of an answer does what was asked.
        Ok(_) | Err(CallError::Broken(_)) => {}
        Err(error) => return Err(ctx.refused(error)),
    }
    let gone = daemon.closed(ctx.deadline()).await && is_unlocked(ctx).await?;
    if gone { Ok(Some(daemon.hello.build)) } else { Err(troubles::not_stopped().into()) }
}

/// Waits for the end of the lock that a living chatd holds.
async fn is_unlocked(ctx: &Context) -> Result<bool, End> {
    let path = ctx.places()?.layout.lock_file();
    let Ok(file) = File::open(&path) else {
        return Ok(true);
    };
    loop {
        match file.try_lock_shared() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) if Instant::now() < ctx.deadline() => sleep(LOOK_EVERY / 10).await,
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(error)) => return Err(troubles::state_file(&path, &error).into()),
        }
    }
}

/// Makes chatd a unit of the user's service manager; one that runs already makes way for it.
async fn install(ctx: &mut Context, linger: bool) -> Result<(), End> {
    let places = ctx.places()?;
    let units = manager(&places)?;
    let program = places.chatd().ok_or_else(troubles::no_program)?;
    if linger && matches!(units, Manager::Launchd(_)) {
        return Err(troubles::no_lingering().into());
    }
    let asked = linger && !systemd::lingers();
    if asked && !ctx.prompt.confirm(words::ask::LINGER, "--yes").await? {
        return Err(troubles::declined().into());
    }
    ctx.restart_clock();
    let before = units.is_installed();
    units.write(&program, asked).map_err(troubles::units)?;
    halt(ctx).await?;
    units.enable().await.map_err(troubles::units)?;
    if asked {
        systemd::linger(true).map_err(troubles::no_linger)?;
    }
    ctx.restart_clock();
    let mut daemon = match units {
        Manager::Systemd(_) => spawn(ctx).await?,
        Manager::Launchd(_) => arrived(ctx).await?,
    };
    let info = ask(ctx, &mut daemon).await?;
    let lingers = matches!(units, Manager::Systemd(_)) && systemd::lingers();
    match ctx.out.form {
        Form::Json => {
            let object = json::daemon(&info).with("unit", &true).with("changed", &!before);
            ctx.out.object("daemon", object.with("lingers", &lingers))
        }
        Form::Plain => ctx.out.row(&["installed", &info.version, &info.pid.to_string(), &info.socket]),
        Form::Human => ctx.out.success(&match units {
            Manager::Systemd(_) => words::daemon_installed(before, lingers, &ctx.out.chatctl),
            Manager::Launchd(_) => words::agent_installed(before, &ctx.out.chatctl),
        }),
    }
}

/// The chatd that its manager starts in its own time; another one beside it would be in its way.
async fn arrived(ctx: &mut Context) -> Result<Daemon, End> {
    loop {
        if let Some(daemon) = ctx.dial().await? {
            return Ok(daemon);
        }
        if Instant::now() >= ctx.deadline() {
            return Err(troubles::not_started("the service manager was told to, and it does not answer").into());
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Undoes [`install`]; lingering is switched off where it was switched on with it.
async fn uninstall(ctx: &mut Context) -> Result<(), End> {
    let units = manager(&ctx.places()?)?;
    let undone = units.disable().map_err(troubles::units)?;
    if undone.lingered {
        systemd::linger(false).map_err(troubles::units)?;
    }
    match ctx.out.form {
        Form::Json => {
            let object = members!({ "state": "stopped", "unit": undone.packaged, "changed": undone.changed });
            ctx.out.object("daemon", object)
        }
        Form::Plain => ctx.out.row(&["uninstalled"]),
        Form::Human => ctx.out.success(words::daemon_uninstalled(&undone)),
    }
}

/// The user's own service manager. A home of its own has none: its chatd is found nowhere else.
fn manager(places: &Places) -> Result<Manager, End> {
    if places.layout.home.is_some() || places.explicit.is_some() {
        return Err(troubles::no_unit_for_home().into());
    }
    Ok(Manager::of(places).map_err(troubles::units)?)
}

async fn logs(ctx: &mut Context, follow: bool, n: usize) -> Result<(), End> {
    let Some(path) = log_path(ctx).await? else {
        ctx.out.note(words::LOG_ELSEWHERE);
        return Ok(());
    };
    let Ok(mut file) = File::open(&path) else {
        return Err(troubles::no_log(&path).into());
    };
    let unreadable = |error: io::Error| End::from(troubles::state_file(&path, &error));
    for line in tail(&mut file, n).map_err(unreadable)? {
        ctx.out.line(&Shown::line(&line).to_string())?;
    }
    if !follow {
        return Ok(());
    }
    loop {
        sleep(LOOK_EVERY).await;
        more(ctx, &path, &mut file).map_err(unreadable)??;
    }
}

/// The last `n` lines of a log.
pub fn last_lines(log: &Path, n: usize) -> io::Result<Vec<String>> {
    tail(&mut File::open(log)?, n)
}

/// The file of a running chatd, if it keeps one; else where a chatd that ran before kept it.
async fn log_path(ctx: &mut Context) -> Result<Option<PathBuf>, End> {
    match ctx.dial().await? {
        Some(mut daemon) => Ok(ask(ctx, &mut daemon).await?.log.map(PathBuf::from)),
        None => Ok(Some(ctx.places()?.layout.log_file())),
    }
}

/// The last `n` lines; the file stands at its end afterwards.
fn tail(file: &mut File, n: usize) -> io::Result<Vec<String>> {
    let length = file.metadata()?.len();
    let start = length.saturating_sub(TAIL_BYTES);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    // The first one may have been cut.
    let surplus = lines.len().saturating_sub(n).max(usize::from(start > 0));
    lines.drain(..surplus.min(lines.len()));
    Ok(lines)
}

/// Prints what was added; a log that was begun anew (another file, or shorter) is read from its start.
fn more(ctx: &Context, path: &Path, file: &mut File) -> io::Result<Result<(), End>> {
    let at = file.stream_position()?;
    if let Ok(named) = File::open(path)
        && (is_other(&named, file)? || named.metadata()?.len() < at)
    {
        *file = named;
    }
    let mut reader = BufReader::new(&mut *file);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 && line.ends_with(b"\n") {
        let shown = Shown::line(String::from_utf8_lossy(&line).trim_end()).to_string();
        if let Err(end) = ctx.out.line(&shown) {
            return Ok(Err(end));
        }
        line.clear();
    }
    // Half a line is read again when it is whole.
    drop(reader);
    file.seek_relative(-i64::try_from(line.len()).unwrap_or_default())?;
    Ok(Ok(()))
}

#[cfg(unix)]
fn is_other(one: &File, two: &File) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let (one, two) = (one.metadata()?, two.metadata()?);
    Ok((one.dev(), one.ino()) != (two.dev(), two.ino()))
}

#[cfg(not(unix))]
fn is_other(_one: &File, _two: &File) -> io::Result<bool> {
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_whole_lines() {
        let dir = tempfile::tempdir().expect("a directory to play in");
        let path = dir.path().join("log");
        std::fs::write(&path, "one\ntwo\nthree\n").expect("written");
        let lines = |n| tail(&mut File::open(&path).expect("there"), n).expect("read");
        assert_eq!(lines(2), ["two", "three"]);
        assert_eq!(lines(9), ["one", "two", "three"]);
        assert!(lines(0).is_empty());
    }
}
