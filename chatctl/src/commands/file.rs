//! file send, list, accept, decline, cancel: files within private sessions. chatd carries them; what it received for a taker is put in
//! its place here, with this user's rights and umask.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chat_proto::control::events::{Event, Topic, Watch};
use chat_proto::control::file::{
    Conflict, File, FileAccept, FileCancel, FileDecline, FileList, FileSend, FileState, FileTake,
};
use chat_proto::control::private::Direction;
use chat_proto::fault::Code;
use tokio::time::Instant;

use super::{Context, Waited, until};
use crate::args::{self, OnConflict};
use crate::daemon::CallError;
use crate::exit::Exit;
use crate::follow::Follow;
use crate::json::{self, word};
use crate::output::{End, Form, Trouble};
use crate::progress::Progress;
use crate::time::iso;
use crate::words::{file as words, troubles};

/// Names that `--conflict rename` tries: `name (2)` up to this one.
const NAMES_TRIED: u32 = 1000;

/// `file`.
pub async fn file(ctx: &mut Context, args: args::File) -> Result<(), End> {
    match args {
        args::File::Send(args) => send(ctx, args).await,
        args::File::List => list(ctx).await,
        args::File::Accept(args) => accept(ctx, args).await,
        args::File::Decline { id } => decline(ctx, id).await,
        args::File::Cancel { id } => cancel(ctx, id).await,
    }
}

/// `file send`: one that cannot be offered does not keep back the others.
async fn send(ctx: &mut Context, args: args::FileSend) -> Result<(), End> {
    let paths: Vec<_> = args.files.iter().map(|path| sendable(path)).collect();
    let several = paths.len() > 1;
    let profile = ctx.profile().await?;
    let follow = following(ctx, &profile, args.wait.is_some()).await?;
    let (mut offered, mut failed) = (Vec::new(), None);
    for path in paths {
        ctx.restart_clock();
        match offer(ctx, &profile, &args.user, path).await {
            Ok(file) => offered.push(file),
            Err(End::Said(trouble)) if several => {
                ctx.out.trouble(&trouble);
                failed = failed.or(Some(trouble.exit));
            }
            Err(end) => return Err(end),
        }
    }
    if let Some(follow) = follow {
        ended_or_offered(ctx, &offered, several, false)?;
        let (files, worst) = until_over(ctx, follow, &profile, offered, args.wait.flatten()).await?;
        if ctx.out.form != Form::Human {
            ended_or_offered(ctx, &files, several, true)?;
        }
        failed = worst.or(failed);
        offered = files.into_iter().filter(|file| file.state == FileState::Done).collect();
    } else {
        ended_or_offered(ctx, &offered, several, true)?;
    }
    match failed {
        None => Ok(()),
        Some(exit) if offered.is_empty() => Err(End::Quiet(exit)),
        Some(_) => Err(End::Quiet(Exit::Partly)),
    }
}

/// Prints the files; people are told at once, programs get one object at the end.
fn ended_or_offered(ctx: &Context, files: &[File], several: bool, end: bool) -> Result<(), End> {
    match (ctx.out.form, files) {
        (Form::Human, _) => files.iter().try_for_each(|file| ctx.out.success(&words::offered(file))),
        (Form::Json, [file]) if end && !several => ctx.out.object("file", json::file(file)),
        (Form::Json, _) if end && several => ctx.out.object("files", json::items(files.iter().map(json::file))),
        (Form::Plain, _) if end => files.iter().try_for_each(|file| row(ctx, file)),
        _ => Ok(()),
    }
}

/// The full path of a file that can be read: chatd is told no less, and a mistake is said before anybody is asked.
fn sendable(path: &Path) -> Result<PathBuf, Trouble> {
    let no = |why: &str| words::no_file(path, why);
    let file = fs::File::open(path).map_err(|error| no(&error.to_string()))?;
    match file.metadata() {
        Ok(about) if about.is_file() => std::path::absolute(path).map_err(|error| no(&error.to_string())),
        Ok(about) if about.is_dir() => Err(no("it is a directory; pack it first")),
        Ok(_) => Err(no("it is no plain file")),
        Err(error) => Err(no(&error.to_string())),
    }
}

async fn offer(ctx: &mut Context, profile: &str, user: &str, path: Result<PathBuf, Trouble>) -> Result<File, End> {
    let path = path?;
    let Some(path) = path.to_str() else {
        return Err(words::no_file(&path, "its name is not UTF-8").into());
    };
    let request = FileSend {
        profile: profile.to_owned(),
        user: user.to_owned(),
        path: path.to_owned(),
        timeout_ms: ctx.timeout_ms(),
    };
    ctx.call(&request).await
}

/// Follows transfers from before the first one begins, so that no end is missed.
async fn following(ctx: &mut Context, profile: &str, wanted: bool) -> Result<Option<Follow>, End> {
    if !wanted {
        return Ok(None);
    }
    Follow::begin(ctx, watch_of(profile), true).await.map(Some)
}

fn watch_of(profile: &str) -> Watch {
    Watch {
        profile: profile.to_owned(),
        only: vec![Topic::File],
        from: None,
        since: None,
        cursor: None,
        after_index: None,
    }
}

/// Shows how far they are until all are over, or the time is; how they ended, and the exit of the first that ended badly.
async fn until_over(
    ctx: &mut Context,
    mut follow: Follow,
    profile: &str,
    mut files: Vec<File>,
    wait: Option<Duration>,
) -> Result<(Vec<File>, Option<Exit>), End> {
    let end = wait.map(|wait| Instant::now() + wait);
    let mut progress = Progress::new(&ctx.out);
    let mut worst = None;
    for file in &files {
        shown(ctx, &mut progress, file, &mut worst)?;
    }
    while let Some(open) = files.iter().find(|file| !file.state.is_over()) {
        ctx.underway.replace(Some(Waited::File(open.id.clone())));
        tokio::select! {
            event = follow.next(ctx) => match event? {
                Some(Event::File(news) | Event::FileOffer(news)) => take(ctx, &mut progress, &mut files, news, &mut worst)?,
                Some(_) => {}
                // chatd went or came back: what was told meanwhile is asked for.
                None => {
                    if let Some(all) = follow.call(ctx, &FileList { profile: profile.to_owned() }).await? {
                        for news in all.items {
                            take(ctx, &mut progress, &mut files, news, &mut worst)?;
                        }
                    }
                }
            },
            () = until(progress.due()) => {
                progress.tick(files.iter().filter(|file| !file.state.is_over()).map(words::file));
            }
            () = until(end) => {
                ctx.underway.replace(None);
                files.iter().for_each(|file| progress.over(&file.id));
                for file in files.iter().filter(|file| !file.state.is_over()) {
                    ctx.out.trouble(&words::not_done(file));
                }
                return Ok((files, worst.or(Some(Exit::TimedOut))));
            }
        }
    }
    ctx.underway.replace(None);
    Ok((files, worst))
}

/// News of one of them.
fn take(
    ctx: &Context,
    progress: &mut Progress,
    files: &mut [File],
    news: File,
    worst: &mut Option<Exit>,
) -> Result<(), End> {
    match files.iter_mut().find(|file| file.id == news.id && !file.state.is_over()) {
        Some(file) => {
            *file = news;
            shown(ctx, progress, file, worst)
        }
        None => Ok(()),
    }
}

fn shown(ctx: &Context, progress: &mut Progress, file: &File, worst: &mut Option<Exit>) -> Result<(), End> {
    if !file.state.is_over() {
        progress.set(&file.id, file.done, file.size, words::file(file));
        return Ok(());
    }
    progress.over(&file.id);
    if let Some(trouble) = words::ended(file) {
        ctx.out.trouble(&trouble);
        *worst = worst.or(Some(trouble.exit));
        return Ok(());
    }
    match (file.dir, ctx.out.form) {
        (Direction::Out, Form::Human) => ctx.out.success(&words::arrived(file, None)),
        // Where it was put is said by who put it there.
        _ => Ok(()),
    }
}

async fn list(ctx: &mut Context) -> Result<(), End> {
    let profile = ctx.profile().await?;
    let files = ctx.call(&FileList { profile }).await?.items;
    match ctx.out.form {
        Form::Json => ctx.out.object("files", json::items(files.iter().map(json::file)))?,
        Form::Plain => files.iter().try_for_each(|file| row(ctx, file))?,
        Form::Human => {
            let widest = files.iter().map(words::width).max().unwrap_or_default();
            files.iter().try_for_each(|file| ctx.out.line(&words::row(file, widest)))?;
            if files.is_empty() {
                ctx.out.note(words::NO_FILES);
            }
        }
    }
    ctx.listed(files.is_empty())
}

/// A file as columns: id, direction, peer, state, size, done, offered, name, path.
fn row(ctx: &Context, file: &File) -> Result<(), End> {
    ctx.out.row(&[
        &file.id,
        &word(&file.dir),
        &file.peer,
        &word(&file.state),
        &file.size.to_string(),
        &file.done.to_string(),
        &iso(file.at_ms),
        &file.name,
        file.path.as_deref().unwrap_or_default(),
    ])
}

fn one(ctx: &Context, file: &File, words: &str) -> Result<(), End> {
    match ctx.out.form {
        Form::Json => ctx.out.object("file", json::file(file)),
        Form::Plain => row(ctx, file),
        Form::Human => ctx.out.success(words),
    }
}

async fn decline(ctx: &mut Context, id: String) -> Result<(), End> {
    let profile = ctx.profile().await?;
    let file = ctx.call(&FileDecline { profile, id }).await?;
    one(ctx, &file, &words::declined(&file))
}

async fn cancel(ctx: &mut Context, id: String) -> Result<(), End> {
    let profile = ctx.profile().await?;
    let file = ctx.call(&FileCancel { profile, id }).await?;
    one(ctx, &file, &words::cancelled(&file))
}

/// `file accept`.
async fn accept(ctx: &mut Context, args: args::FileAccept) -> Result<(), End> {
    match &args.output {
        Some(output) if output == Path::new("-") => accept_for(ctx, &args, Target::Stdout).await,
        Some(output) => accept_for(ctx, &args, Target::At(output.clone())).await,
        None => accept_there(ctx, &args).await,
    }
}

/// Into chatd's `files.dir`.
async fn accept_there(ctx: &mut Context, args: &args::FileAccept) -> Result<(), End> {
    let profile = ctx.profile().await?;
    let follow = following(ctx, &profile, args.wait.is_some()).await?;
    let conflict = conflict(args.conflict);
    let file =
        match ctx.try_call(&FileAccept { profile: profile.clone(), id: args.id.clone(), hold: false, conflict }).await?
        {
            Ok(file) => file,
            Err(CallError::Refused(data)) if data.code == Code::FILE_EXISTS && args.conflict == OnConflict::Skip => {
                let there = data.subject.unwrap_or_else(|| "the file".into());
                let file = find(ctx, &profile, &args.id).await?;
                return one(ctx, &file, &words::skipped(Path::new(&there)));
            }
            Err(error) => return Err(ctx.refused(error)),
        };
    let Some(follow) = follow else {
        return one(ctx, &file, &words::accepted(&file));
    };
    let (files, worst) = until_over(ctx, follow, &profile, vec![file], args.wait.flatten()).await?;
    finished(ctx, &files, worst, None)
}

/// The end of one transfer that was waited for.
fn finished(ctx: &Context, files: &[File], worst: Option<Exit>, at: Option<&Path>) -> Result<(), End> {
    for file in files {
        if file.state == FileState::Done || ctx.out.form != Form::Human {
            one(ctx, file, &words::arrived(file, at))?;
        }
    }
    worst.map_or(Ok(()), |exit| Err(End::Quiet(exit)))
}

fn conflict(how: OnConflict) -> Conflict {
    match how {
        OnConflict::Fail => Conflict::Fail,
        OnConflict::Skip => Conflict::Skip,
        OnConflict::Overwrite => Conflict::Overwrite,
        OnConflict::Rename => Conflict::Rename,
        OnConflict::Resume => Conflict::Resume,
    }
}

/// Where a received file is wanted.
enum Target {
    Stdout,
    At(PathBuf),
}

/// Into a folder of chatd's own, and from there to where it is wanted.
async fn accept_for(ctx: &mut Context, args: &args::FileAccept, target: Target) -> Result<(), End> {
    if matches!(target, Target::Stdout) {
        free_stdout(ctx)?;
    }
    let profile = ctx.profile().await?;
    let offer = find(ctx, &profile, &args.id).await?;
    let place = match target {
        Target::Stdout => None,
        Target::At(path) => match place(&path, &offer, args.conflict)? {
            Some(place) => Some(place),
            None => {
                let skipped = words::skipped(&within(&path, &offer));
                // Nothing is taken: the peer need not wait.
                let file = match offer.state {
                    FileState::Offered => ctx.call(&FileDecline { profile, id: offer.id }).await?,
                    _ => offer,
                };
                return one(ctx, &file, &skipped);
            }
        },
    };
    let (mut files, worst) = receive(ctx, &profile, args, offer).await?;
    let Some(file) = files.first_mut().filter(|file| file.state == FileState::Done) else {
        return finished(ctx, &files, worst, None);
    };
    put(file, place.as_ref(), args.conflict)?;
    let path = place.as_ref().map(|place| place.to_string_lossy().into_owned());
    ctx.restart_clock();
    ctx.call(&FileTake { profile, id: file.id.clone(), path: path.clone() }).await?;
    file.path = path;
    match place {
        Some(place) => finished(ctx, &files, worst, Some(&place)),
        None => {
            ctx.out.note(&words::arrived(file, None));
            Ok(())
        }
    }
}

/// Takes the offer and waits for all of it. One that was received before and not taken is there already.
async fn receive(
    ctx: &mut Context,
    profile: &str,
    args: &args::FileAccept,
    offer: File,
) -> Result<(Vec<File>, Option<Exit>), End> {
    if offer.state == FileState::Done && offer.dir == Direction::In && offer.path.is_some() {
        return Ok((vec![offer], None));
    }
    let follow = Follow::begin(ctx, watch_of(profile), true).await?;
    ctx.restart_clock();
    let conflict = if args.conflict == OnConflict::Resume { Conflict::Resume } else { Conflict::default() };
    let file = ctx.call(&FileAccept { profile: profile.to_owned(), id: offer.id, hold: true, conflict }).await?;
    until_over(ctx, follow, profile, vec![file], args.wait.flatten()).await
}

/// stdout is the file's alone: no object beside it, and no bytes that a terminal would obey.
fn free_stdout(ctx: &Context) -> Result<(), End> {
    if ctx.out.form == Form::Json || ctx.out.form == Form::Plain {
        return Err(troubles::usage(
            "-o - gives stdout to the file itself; leave out --json and --plain.",
            "help file accept",
        )
        .into());
    }
    if io::stdout().is_terminal() {
        return Err(troubles::usage(
            "the file would be written to the terminal; name a FILE, or a pipe.",
            "help file accept",
        )
        .into());
    }
    Ok(())
}

/// The one file whose id ends so.
async fn find(ctx: &mut Context, profile: &str, id: &str) -> Result<File, End> {
    let files = ctx.call(&FileList { profile: profile.to_owned() }).await?.items;
    let mut found = files.into_iter().filter(|file| file.dir == Direction::In && file.id.ends_with(id));
    match (found.next(), found.next()) {
        (Some(file), None) if !id.is_empty() => Ok(file),
        _ => Err(words::unknown(id).into()),
    }
}

/// The path that is meant: a directory takes the file under its own name.
fn within(path: &Path, file: &File) -> PathBuf {
    let directory = path.is_dir() || path.to_string_lossy().ends_with('/');
    if directory { path.join(plain_name(&file.name)) } else { path.to_owned() }
}

/// A peer names the file, never the place (S24): chatd made the name safe; nothing but one plain component is taken all the same.
fn plain_name(name: &str) -> String {
    let last = Path::new(name).file_name().map(|last| last.to_string_lossy().into_owned());
    last.filter(|last| last == name).unwrap_or_else(|| "file".to_owned())
}

/// Where the file is to be put; nothing where `--conflict skip` leaves one that is there.
fn place(path: &Path, file: &File, conflict: OnConflict) -> Result<Option<PathBuf>, Trouble> {
    let place = std::path::absolute(within(path, file)).map_err(|error| troubles::cannot_write(path, &error))?;
    let taken = place.symlink_metadata().is_ok();
    match conflict {
        _ if !taken => Ok(Some(place)),
        OnConflict::Overwrite if !place.is_dir() => Ok(Some(place)),
        OnConflict::Skip => Ok(None),
        OnConflict::Rename => free_name(&place).map(Some).ok_or_else(|| words::in_the_way(&place)),
        OnConflict::Fail | OnConflict::Resume | OnConflict::Overwrite => Err(words::in_the_way(&place)),
    }
}

/// `name (2).ext`, or the first number that is free.
fn free_name(place: &Path) -> Option<PathBuf> {
    let stem = place.file_stem()?.to_string_lossy().into_owned();
    let end = place.extension().map_or_else(String::new, |end| format!(".{}", end.to_string_lossy()));
    let names = (2..=NAMES_TRIED).map(|number| place.with_file_name(format!("{stem} ({number}){end}")));
    names.into_iter().find(|name| name.symlink_metadata().is_err())
}

/// Copies what chatd keeps to its place.
fn put(file: &File, place: Option<&PathBuf>, conflict: OnConflict) -> Result<(), End> {
    let kept = PathBuf::from(file.path.clone().unwrap_or_default());
    match place {
        None => match copy_out(&kept) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(End::Quiet(Exit::Done)),
            Err(error) => Err(words::not_put(file, Path::new("stdout"), &error).into()),
        },
        Some(place) => {
            let outcome = if conflict == OnConflict::Overwrite { replace(&kept, place) } else { create(&kept, place) };
            outcome.map_err(|error| words::not_put(file, place, &error).into())
        }
    }
}

fn copy_out(kept: &Path) -> io::Result<()> {
    let mut out = io::stdout().lock();
    io::copy(&mut fs::File::open(kept)?, &mut out)?;
    out.flush()
}

/// A new file; one that came to be there meanwhile is not touched.
fn create(kept: &Path, place: &Path) -> io::Result<()> {
    let mut from = fs::File::open(kept)?;
    let mut to = fs::File::create_new(place)?;
    let copied = io::copy(&mut from, &mut to).and_then(|_| to.sync_all());
    if copied.is_err() {
        // A half file under the whole one's name helps nobody.
        let _ = fs::remove_file(place);
    }
    copied
}

/// In the place of one that may be there, in one step.
fn replace(kept: &Path, place: &Path) -> io::Result<()> {
    let mut beside = place.as_os_str().to_owned();
    beside.push(format!(".{}", crate::key::fresh().map_err(io::Error::other)?));
    let beside = PathBuf::from(beside);
    create(kept, &beside)?;
    fs::rename(&beside, place).inspect_err(|_| {
        // The old one is still whole.
        let _ = fs::remove_file(&beside);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> File {
        File {
            id: "00".into(),
            peer: "bob".into(),
            dir: Direction::In,
            name: name.into(),
            size: 2,
            done: 2,
            state: FileState::Done,
            sha256: None,
            path: None,
            code: None,
            by_peer: false,
            rate: None,
            at_ms: 0,
        }
    }

    #[test]
    fn a_peer_names_the_file_and_never_the_place() {
        for (name, plain) in [
            ("a.pdf", "a.pdf"),
            ("../a", "file"),
            ("/etc/passwd", "file"),
            ("..", "file"),
            ("a/b", "file"),
            ("", "file"),
        ] {
            assert_eq!(plain_name(name), plain, "{name}");
        }
    }

    #[test]
    fn a_file_that_is_there_is_treated_as_was_said() {
        let dir = tempfile::tempdir().expect("a directory");
        let here = |name: &str| dir.path().join(name);
        let (kept, there) = (here("kept"), here("a.pdf"));
        fs::write(&kept, "new").expect("a file");
        fs::write(&there, "old").expect("a file");
        let at = |how| place(dir.path(), &named("a.pdf"), how).map_err(|trouble| trouble.exit.number());
        assert_eq!(at(OnConflict::Fail), Err(7));
        assert_eq!(at(OnConflict::Skip), Ok(None));
        assert_eq!(at(OnConflict::Rename), Ok(Some(here("a (2).pdf"))));
        assert_eq!(at(OnConflict::Overwrite), Ok(Some(there.clone())));
        assert!(create(&kept, &there).is_err(), "one that came to be there meanwhile stays");
        assert_eq!(fs::read_to_string(&there).expect("there"), "old");
        replace(&kept, &there).expect("replaced");
        assert_eq!(fs::read_to_string(&there).expect("there"), "new");
        assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 2, "nothing is left beside it");
    }
}
