//! Sentences about files within private sessions: offered, on their way, there.

use std::path::Path;
use std::time::Duration;

use chat_proto::control::file::{File, FileState};
use chat_proto::control::private::Direction;
use chat_proto::display::quoted;
use chat_proto::fault::Code;

use super::refusals;
use crate::exit::Exit;
use crate::output::{Shown, Trouble};
use crate::time::exact;

/// No transfers.
pub const NO_FILES: &str = "no files; file send USER FILE offers one within a private session";

/// The last characters of an id, as printed for people.
pub fn short(file: &File) -> &str {
    let cut = file.id.len().saturating_sub(4);
    file.id.get(cut..).unwrap_or(&file.id)
}

/// A number of bytes for people: `512 B`, `1.2 MB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut unit = UNITS.iter();
    let (mut tenths, mut name) = (bytes / 100, unit.next());
    // 999.95 of a unit would be printed as 1000.0.
    while tenths >= 10_000 {
        match unit.next() {
            Some(next) => (tenths, name) = (tenths / 1000, Some(next)),
            None => break,
        }
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, name.unwrap_or(&"PB"))
}

fn name(file: &File) -> Shown {
    Shown::name(&file.name)
}

/// `to bob` or `from bob`.
fn way(file: &File) -> String {
    let peer = Shown::name(&file.peer);
    match file.dir {
        Direction::Out => format!("to {peer}"),
        Direction::In => format!("from {peer}"),
    }
}

/// After `file send`.
pub fn offered(file: &File) -> String {
    let peer = Shown::name(&file.peer);
    let (name, size, id) = (name(file), size(file.size), Shown::line(short(file)));
    format!("Offered {name} ({size}) to {peer} ({id}); it is sent when {peer} accepts.")
}

/// After `file accept` that waits for nothing.
pub fn accepted(file: &File) -> String {
    let (name, size, from) = (name(file), size(file.size), way(file));
    match &file.path {
        Some(path) => format!("Receiving {name} ({size}) {from} into {}.", Shown::line(path)),
        None => format!("Receiving {name} ({size}) {from}; how it goes: chatctl file list"),
    }
}

/// A transfer that was waited for is done. `at` is where it was put.
pub fn arrived(file: &File, at: Option<&Path>) -> String {
    let (name, size, peer) = (name(file), size(file.size), Shown::name(&file.peer));
    let kept = file.path.as_deref().map(Path::new);
    match (file.dir, at.or(kept)) {
        (Direction::Out, _) => format!("{name} ({size}) is with {peer}, whole."),
        (Direction::In, Some(path)) => {
            format!("Received {name} ({size}) from {peer}: {}", Shown::line(&path.to_string_lossy()))
        }
        (Direction::In, None) => format!("Received {name} ({size}) from {peer}."),
    }
}

/// `--conflict skip` found a file.
pub fn skipped(path: &Path) -> String {
    format!("{} is there already; nothing was taken.", Shown::line(&path.to_string_lossy()))
}

/// After `file decline`.
pub fn declined(file: &File) -> String {
    format!("Declined {} {}.", name(file), way(file))
}

/// After `file cancel`; what was over before stays what it was.
pub fn cancelled(file: &File) -> String {
    let (name, way) = (name(file), way(file));
    match file.state {
        FileState::Cancelled => format!("Given up {name} {way}."),
        _ => format!("{name} {way} was over before: {}.", state(file)),
    }
}

/// How far it is: `42% 3.1 MB/s 6s left`.
pub fn progress(file: &File) -> String {
    let percent = file.done.saturating_mul(100).checked_div(file.size).unwrap_or(100).min(100);
    let mut text = format!("{percent}%");
    if let Some(rate) = file.rate.filter(|rate| *rate > 0 && file.state == FileState::Running) {
        let left = match file.size.saturating_sub(file.done).div_ceil(rate) {
            seconds @ 0..60 => format!("{seconds}s"),
            seconds => exact(Duration::from_secs(seconds)),
        };
        text += &format!(" {}/s {left} left", size(rate));
    }
    text
}

/// Where a transfer stands, in a few words.
fn state(file: &File) -> String {
    let peer = Shown::name(&file.peer);
    let by = if file.by_peer { format!("by {peer}") } else { "by you".to_owned() };
    match (file.state, file.dir) {
        (FileState::Offered, Direction::Out) => "offered".to_owned(),
        (FileState::Offered, Direction::In) => format!("accept: chatctl file accept {}", Shown::line(short(file))),
        (FileState::Waiting, _) => format!("{} waiting", progress(file)),
        (FileState::Running, _) => progress(file),
        (FileState::Done, _) => "done".to_owned(),
        (FileState::Declined, _) => format!("declined {by}"),
        (FileState::Cancelled, _) => format!("given up {by}"),
        (FileState::Failed, _) => match file.code {
            Some(code) => format!("failed: {}", refusals::reason(code)),
            None => "failed".to_owned(),
        },
    }
}

/// How it goes, in one line without a time: for progress and `watch`.
pub fn file(file: &File) -> String {
    let (name, way) = (name(file), way(file));
    match (file.state, file.dir) {
        (FileState::Offered, Direction::In) => {
            let (peer, id) = (Shown::name(&file.peer), Shown::line(short(file)));
            format!("{peer} offers {name} ({}): chatctl file accept {id}", size(file.size))
        }
        _ => format!("{name} {way}: {}", state(file)),
    }
}

/// A line of `file list`.
pub fn row(file: &File, widest: usize) -> String {
    let way = way(file);
    let room = " ".repeat(widest.saturating_sub(Shown::line(&way).width()));
    let mut text =
        format!("{}  {way}{room}  {}  {}  {}", Shown::line(short(file)), name(file), size(file.size), state(file));
    if let (FileState::Done, Direction::In, Some(path)) = (file.state, file.dir, &file.path) {
        text += &format!("  {}", Shown::line(path));
    }
    text
}

/// Columns of who it comes from or goes to.
pub fn width(file: &File) -> usize {
    Shown::line(&way(file)).width()
}

/// A transfer that was waited for ended without the file being there.
pub fn ended(file: &File) -> Option<Trouble> {
    let (name, way, peer) = (name(file), way(file), Shown::name(&file.peer));
    let by = if file.by_peer { format!("{peer} has") } else { "you have".to_owned() };
    let trouble = match file.state {
        FileState::Declined => {
            Trouble::new(Code::DECLINED.name(), Exit::Refused, format!("{by} declined {name}.")).next("file list")
        }
        FileState::Cancelled => {
            Trouble::new(Code::CANCELLED.name(), Exit::No, format!("{by} given up {name} {way}.")).next("file list")
        }
        FileState::Failed => {
            let code = file.code.unwrap_or(Code::INTERNAL);
            let what = format!("{name} {way} failed: {}.", refusals::reason(code));
            Trouble::new(code.name(), Exit::of(code), what).next("file list")
        }
        _ => return None,
    };
    let mut trouble = trouble;
    trouble.add("id", file.id.clone());
    Some(trouble)
}

/// `--wait=DURATION` ran out.
pub fn not_done(file: &File) -> Trouble {
    let what = format!("{} {}: {} so far; it goes on.", name(file), way(file), progress(file));
    let mut trouble = Trouble::new(Code::TIMED_OUT.name(), Exit::TimedOut, what).next("file list");
    trouble.add("id", file.id.clone());
    trouble
}

/// The file to be sent is none.
pub fn no_file(path: &Path, why: &str) -> Trouble {
    let what = format!("{} cannot be sent: {}.", Shown::line(&path.to_string_lossy()), Shown::line(why));
    Trouble::new(Code::BAD_FILE.name(), Exit::BadInput, what).next("help file send")
}

/// There is a file where the received one is to go.
pub fn in_the_way(path: &Path) -> Trouble {
    let what = format!(
        "{} is there already; nothing was taken. Name another place by -o, or say by --conflict what to do.",
        Shown::line(&path.to_string_lossy())
    );
    Trouble::new(Code::FILE_EXISTS.name(), Exit::Refused, what).next("help file accept")
}

/// The received file cannot be put where it was wanted: it stays where chatd keeps it.
pub fn not_put(file: &File, path: &Path, error: &std::io::Error) -> Trouble {
    let kept = file.path.as_deref().map_or_else(String::new, |kept| format!(" It is kept at {}.", Shown::line(kept)));
    let what = format!(
        "{} was received, but {} cannot be written: {error}.{kept}",
        name(file),
        Shown::line(&path.to_string_lossy())
    );
    let mut trouble =
        Trouble::new("output", Exit::BadState, what).next(format!("file accept {} -o FILE", quoted(short(file))));
    trouble.add("id", file.id.clone());
    trouble
}

/// No offer or transfer has this id.
pub fn unknown(id: &str) -> Trouble {
    let what = format!("no file has the id {}, or several end with it.", Shown::line(id));
    Trouble::new(Code::UNKNOWN_FILE.name(), Exit::Unknown, what).next("file list")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(dir: Direction, state: FileState) -> File {
        File {
            id: "00112233445566778899aabbccdd9f3c".into(),
            peer: "bob".into(),
            dir,
            name: "report.pdf".into(),
            size: 4_200_000,
            done: 1_764_000,
            state,
            sha256: None,
            path: None,
            code: None,
            by_peer: true,
            rate: Some(3_100_000),
            at_ms: 0,
        }
    }

    #[test]
    fn sizes_as_people_compare_them() {
        let sizes = [0, 999, 1000, 1_249_999, 999_999, 4_200_000, 1_000_000_000, u64::MAX].map(size);
        assert_eq!(sizes, ["0 B", "999 B", "1.0 kB", "1.2 MB", "999.9 kB", "4.2 MB", "1.0 GB", "18446.7 PB"]);
    }

    #[test]
    fn progress_says_how_far_how_fast_and_how_long() {
        assert_eq!(file(&sample(Direction::Out, FileState::Running)), "report.pdf to bob: 42% 3.1 MB/s 1s left");
        let mut waits = sample(Direction::In, FileState::Waiting);
        assert_eq!(file(&waits), "report.pdf from bob: 42% waiting");
        (waits.size, waits.done, waits.state) = (0, 0, FileState::Running);
        assert_eq!(progress(&waits), "100% 3.1 MB/s 0s left");
    }

    #[test]
    fn an_offer_names_what_to_run_and_shows_no_escapes() {
        let mut offer = sample(Direction::In, FileState::Offered);
        assert_eq!(file(&offer), "bob offers report.pdf (4.2 MB): chatctl file accept 9f3c");
        offer.name = "a\x1b[2J\n.pdf".into();
        assert!(file(&offer).contains(r"a\x1b[2J"), "{}", file(&offer));
    }

    #[test]
    fn what_ended_badly_has_its_exit() {
        let exit = |state, code| {
            let ended = ended(&File { code, ..sample(Direction::Out, state) });
            ended.map(|trouble| trouble.exit.number())
        };
        assert_eq!(exit(FileState::Done, None), None);
        assert_eq!(exit(FileState::Declined, None), Some(7));
        assert_eq!(exit(FileState::Cancelled, None), Some(1));
        assert_eq!(exit(FileState::Failed, Some(Code::FILE_DAMAGED)), Some(8));
        assert_eq!(exit(FileState::Failed, Some(Code::BAD_FILE)), Some(15));
    }
}
