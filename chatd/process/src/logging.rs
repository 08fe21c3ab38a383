//! Logging: where lines go, how many, and that one event is one line whatever is in it (S25).
//!
//! `main` starts it after the fork and keeps what it returns; a thread of its own writes, so no task waits for a disk.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use chat_proto::display;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata, Subscriber};
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_appender::rolling::{InitError, RollingFileAppender, Rotation};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload;

#[cfg(unix)]
use crate::journal::{Datagram, Socket};

/// All our crates' names begin so; other crates are logged from "warn" up, whatever the level.
const OURS: &str = "chat";
/// Lines that may wait for the writing thread; beyond it lines are dropped and counted.
const LINES_WAITING: usize = 8192;

/// What to log and where.
pub struct Log {
    /// The level of our own crates.
    pub level: LevelFilter,
    /// Where lines go.
    pub target: Target,
    /// The clock by which a day ends.
    pub clock: fn() -> SystemTime,
}

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Standard error.
    Stderr {
        /// How lines look there.
        form: Form,
    },
    /// Files `<name>.<date>.log` in `dir`, one a UTC day, with a link `<name>.log` to the latest. Windows lets few users make a
    /// link: there it is one file `<name>.log`, which a start puts aside as `<name>.old.log` once it holds more than a day may.
    File {
        /// The directory; must be there.
        dir: PathBuf,
        /// The first part of the names.
        name: String,
        /// How many files are kept.
        keep: usize,
        /// Bytes a day; beyond it lines are dropped, and one line says so.
        max_bytes: u64,
    },
}

/// How lines look on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As in a file.
    Text,
    /// Before each the priority by which the journal knows its level, and no time because it has its own (sd-daemon(3)).
    Priorities,
    /// Not there at all but at journald itself, with fields. As [`Form::Priorities`] where it cannot be reached.
    Journal {
        /// The program's name there.
        name: &'static str,
    },
}

/// Whether standard error leads to the journal. What a service starts inherits the variable that says so, but not the stream.
#[cfg(unix)]
pub fn stderr_is_journal() -> bool {
    let named = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    let Ok(stream) = rustix::fs::fstat(rustix::stdio::stderr()) else { return false };
    named == format!("{}:{}", stream.st_dev, stream.st_ino)
}

/// There is no journal on Windows.
#[cfg(windows)]
pub fn stderr_is_journal() -> bool {
    false
}

/// Logging could not start.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file could not be opened.
    #[error("cannot open the log file: {0}")]
    File(#[from] InitError),
    /// Something else logs already.
    #[error("logging was started twice")]
    Twice,
}

/// Keep it until the process ends: when dropped, the last lines are written.
pub struct Logging {
    _guard: WorkerGuard,
    level: LevelHandle,
}

impl Logging {
    /// The handle on how much is logged.
    pub fn level(&self) -> LevelHandle {
        self.level.clone()
    }
}

/// How much is logged; clones change the same.
#[derive(Clone)]
pub struct LevelHandle(reload::Handle<Targets, tracing_subscriber::Registry>);

impl LevelHandle {
    /// Changes the level of our own crates.
    pub fn set(&self, level: LevelFilter) {
        // Fails only when nobody logs any more.
        let _ = self.0.reload(targets(level));
    }
}

/// Starts logging for the whole process.
pub fn start(log: Log) -> Result<Logging, LogError> {
    let form = match &log.target {
        Target::Stderr { form } => *form,
        Target::File { .. } => Form::Text,
    };
    let (filter, level) = reload::Layer::new(targets(log.level));
    #[cfg(unix)]
    if let (Form::Journal { name }, Some(socket)) = (form, Socket::open()) {
        let (sink, guard) = builder().finish(socket);
        let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(sink).fmt_fields(LineFields);
        let events = lines.event_format(Datagram::of(name));
        set(tracing_subscriber::registry().with(filter).with(events))?;
        return Ok(Logging { _guard: guard, level: LevelHandle(level) });
    }
    let (sink, guard) = open(log.target, log.clock)?;
    set(subscriber(filter, sink, form != Form::Text))?;
    Ok(Logging { _guard: guard, level: LevelHandle(level) })
}

fn set(subscriber: impl Subscriber + Send + Sync) -> Result<(), LogError> {
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::Twice)
}

fn builder() -> NonBlockingBuilder {
    NonBlockingBuilder::default().buffered_lines_limit(LINES_WAITING).thread_name("log")
}

/// The thread that writes, and the way to it.
fn open(target: Target, clock: fn() -> SystemTime) -> Result<(NonBlocking, WorkerGuard), LogError> {
    let Target::File { dir, name, keep, max_bytes } = target else { return Ok(builder().finish(io::stderr())) };
    let latest = dir.join(format!("{name}.log"));
    let files = files(&dir, name, keep, max_bytes)?;
    // Bytes of earlier runs of today count too, or a crash loop would have no limit.
    let used = std::fs::metadata(latest).map_or(0, |file| file.len());
    Ok(builder().finish(Capped { inner: files, clock, day: day(clock()), used, max: max_bytes, told: false }))
}

#[cfg(not(windows))]
fn files(dir: &Path, name: String, keep: usize, _max_bytes: u64) -> Result<RollingFileAppender, LogError> {
    let link = format!("{name}.log");
    let files = RollingFileAppender::builder().rotation(Rotation::DAILY).filename_prefix(name).filename_suffix("log");
    Ok(files.latest_symlink(link).max_log_files(keep.max(1)).build(dir)?)
}

#[cfg(windows)]
fn files(dir: &Path, name: String, _keep: usize, max_bytes: u64) -> Result<RollingFileAppender, LogError> {
    let (latest, old) = (dir.join(format!("{name}.log")), dir.join(format!("{name}.old.log")));
    if std::fs::metadata(&latest).is_ok_and(|file| file.len() > max_bytes) {
        // A file that cannot be moved goes on growing, and its bytes count for today.
        let _ = std::fs::rename(latest, old);
    }
    let files = RollingFileAppender::builder().rotation(Rotation::NEVER).filename_prefix(name).filename_suffix("log");
    Ok(files.build(dir)?)
}

/// Libraries whose errors are about connections that come and go: what matters of them we say ourselves.
const NOISY: &[&str] = &["iroh", "iroh_relay", "netwatch", "noq", "noq_proto", "noq_udp"];

fn targets(level: LevelFilter) -> Targets {
    let noisy = if level >= LevelFilter::DEBUG { LevelFilter::WARN } else { LevelFilter::OFF };
    let targets = Targets::new().with_default(level.min(LevelFilter::WARN)).with_target(OURS, level);
    targets.with_targets(NOISY.iter().map(|name| (*name, noisy)))
}

/// Everything but the sink, so that tests log into memory.
fn subscriber<L, W>(filter: L, sink: W, journal: bool) -> Box<dyn Subscriber + Send + Sync>
where
    L: tracing_subscriber::Layer<tracing_subscriber::Registry> + Send + Sync,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(OneLine { sink, journal });
    let lines = lines.fmt_fields(LineFields);
    let registry = tracing_subscriber::registry().with(filter);
    if journal { Box::new(registry.with(lines.without_time())) } else { Box::new(registry.with(lines)) }
}

/// Fields whose names begin so are for the journal to be searched for: the message says them already.
pub(crate) const FOR_JOURNAL: &str = "journal.";

/// The message, and behind it the fields that it does not say.
struct LineFields;

impl<'w> FormatFields<'w> for LineFields {
    fn format_fields<R: RecordFields>(&self, out: Writer<'w>, fields: R) -> std::fmt::Result {
        let mut line = LineVisitor { out, before: "", done: Ok(()) };
        fields.record(&mut line);
        line.done
    }
}

struct LineVisitor<'w> {
    out: Writer<'w>,
    before: &'static str,
    done: std::fmt::Result,
}

impl Visit for LineVisitor<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let before = std::mem::replace(&mut self.before, " ");
        let written = match field.name() {
            "message" => write!(self.out, "{before}{value:?}"),
            name if name.starts_with(FOR_JOURNAL) => Ok(()),
            name => write!(self.out, "{before}{name}={value:?}"),
        };
        self.done = self.done.and(written);
    }
}

/// Makes every event one line.
struct OneLine<W> {
    sink: W,
    journal: bool,
}

impl<'a, W: MakeWriter<'a>> MakeWriter<'a> for OneLine<W> {
    type Writer = Escape<W::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        Escape { inner: self.sink.make_writer(), priority: None }
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Self::Writer {
        let priority = self.journal.then(|| priority(*meta.level()));
        Escape { inner: self.sink.make_writer_for(meta), priority }
    }
}

/// The journal's number for a level (syslog(3)).
pub(crate) fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        _ => "7",
    }
}

/// Writes an event, which comes in one piece, with everything escaped that could look like another line or a command to
/// a terminal, and without the numbers that the system gives to its errors.
struct Escape<W> {
    inner: W,
    /// Before the line, in the form by which the journal knows it (sd-daemon(3)).
    priority: Option<&'static str>,
}

impl<W: Write> Write for Escape<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let body = String::from_utf8_lossy(event.strip_suffix(b"\n").unwrap_or(event));
        let priority = self.priority.map(|number| format!("<{number}>")).unwrap_or_default();
        self.inner.write_all(format!("{priority}{}\n", escape(&display::cause(&body))).as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// One line, with nothing in it that a terminal would obey.
pub(crate) fn escape(text: &str) -> String {
    let mut line = String::with_capacity(text.len() + 1);
    for character in text.chars() {
        if harmless(character) { line.push(character) } else { line.extend(character.escape_default()) }
    }
    line
}

/// Whether a character shows as itself: no control, no line break, no change of direction.
fn harmless(character: char) -> bool {
    let deceives =
        matches!(character, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !character.is_control() && !deceives
}

/// Drops lines beyond so many bytes a day: the files rotate by time only, and a flood must not fill the disk.
struct Capped<W> {
    inner: W,
    clock: fn() -> SystemTime,
    day: u64,
    used: u64,
    max: u64,
    told: bool,
}

impl<W: Write> Write for Capped<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let today = day((self.clock)());
        if today != self.day {
            (self.day, self.used, self.told) = (today, 0, false);
        }
        if self.used.saturating_add(line.len() as u64) <= self.max {
            self.used += line.len() as u64;
            self.inner.write_all(line)?;
        } else if !self.told {
            self.told = true;
            writeln!(
                self.inner,
                "the log has reached {} bytes; nothing more is logged before tomorrow (UTC)",
                self.max
            )?;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// The UTC day of a time, counted from 1970.
fn day(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs() / 86_400)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Memory {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(journal: bool, level: LevelFilter, act: impl FnOnce()) -> String {
        let memory = Memory::default();
        let sink = memory.clone();
        tracing::subscriber::with_default(subscriber(targets(level), move || sink.clone(), journal), act);
        memory.text()
    }

    #[test]
    fn one_event_is_one_line() {
        let name = "eve\n2026-01-01T00:00:00Z INFO from 1.2.3.4\r\u{1b}[2J\u{202e}\u{85}\u{2028}x";
        let text = logged(false, LevelFilter::INFO, || {
            tracing::info!(%name, "one {name}");
            tracing::info!(?name, name, "two");
        });
        assert_eq!(text.matches('\n').count(), 2, "{text}");
        assert!(text.chars().all(|c| c == '\n' || harmless(c)), "{text}");
        assert!(text.contains("eve\\n2026"), "{text}");
    }

    #[test]
    fn an_error_of_the_system_is_said_without_its_number() {
        // Each system has words of its own for it.
        let error = io::Error::from_raw_os_error(24);
        let words = error.to_string();
        let words = chat_proto::display::cause(&words);
        let text = logged(false, LevelFilter::INFO, || tracing::warn!(%error, "cannot accept"));
        assert!(text.contains(&*words) && !text.contains("os error"), "{text}");
    }

    #[test]
    fn the_journal_gets_priorities_and_no_times() {
        let text = logged(true, LevelFilter::INFO, || tracing::warn!("hot"));
        assert!(text.starts_with("<4> WARN ") && text.ends_with(": hot\n"), "{text}");
    }

    #[cfg(unix)]
    #[test]
    fn journald_gets_fields_that_nobody_forges() {
        let memory = Memory::default();
        let sink = memory.clone();
        let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(move || sink.clone());
        let lines = lines.fmt_fields(LineFields);
        let events = lines.event_format(Datagram::of("chatd"));
        let name = "eve\nPRIORITY=0\nMESSAGE=all is well\u{1b}[2J";
        tracing::subscriber::with_default(tracing_subscriber::registry().with(events), || {
            tracing::warn!(%name, count = 7, journal.user = "bob", "hot {name}");
        });
        let text = memory.text();
        let lines: Vec<&str> = text.lines().collect();
        let of = |field: &str| lines.iter().filter_map(|line| line.strip_prefix(field)).collect::<Vec<_>>();
        assert!(of("MESSAGE=")[0].ends_with(" count=7"), "{text}");
        assert_eq!(of("CHAT_USER="), ["bob"], "it is in the message already, by other words");
        assert!(of("MESSAGE=")[0].starts_with("WARN chat_process::logging::tests: hot eve\\nPRIORITY=0\\n"), "{text}");
        assert_eq!((of("MESSAGE=").len(), of("PRIORITY="), of("SYSLOG_IDENTIFIER=")), (1, vec!["4"], vec!["chatd"]));
        assert_eq!((of("CHAT_NAME="), of("CHAT_COUNT=")), (vec![escape(name).as_str()], vec!["7"]));
        assert!(of("CODE_FILE=")[0].ends_with("logging.rs") && !text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn levels_are_for_our_crates() {
        let text = logged(false, LevelFilter::DEBUG, || {
            tracing::debug!("ours");
            tracing::debug!(target: "rustls", "theirs");
            tracing::warn!(target: "rustls", "their warning");
        });
        assert!(text.contains("ours") && text.contains("their warning") && !text.contains("theirs"), "{text}");
        assert_eq!(logged(false, LevelFilter::OFF, || tracing::error!("no")), "");
    }

    #[test]
    fn a_flood_ends_with_one_line_a_day() {
        use std::sync::atomic::{AtomicU64, Ordering};
        static NOW: AtomicU64 = AtomicU64::new(0);
        fn clock() -> SystemTime {
            SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(NOW.load(Ordering::Relaxed))
        }
        let memory = Memory::default();
        let mut capped = Capped { inner: memory.clone(), clock, day: 0, used: 0, max: 10, told: false };
        for _ in 0..5 {
            capped.write_all(b"1234\n").unwrap();
        }
        assert_eq!(
            memory.text(),
            "1234\n1234\nthe log has reached 10 bytes; nothing more is logged before tomorrow (UTC)\n"
        );
        NOW.store(86_400, Ordering::Relaxed);
        capped.write_all(b"new\n").unwrap();
        assert!(memory.text().ends_with(")\nnew\n"));
    }

    #[test]
    fn files_are_named_linked_and_counted() {
        let dir = std::env::temp_dir().join(format!("chat-process-log-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let target = || Target::File { dir: dir.clone(), name: "chatd".into(), keep: 3, max_bytes: 8 };
        for _ in 0..2 {
            let (mut sink, guard) = open(target(), SystemTime::now).unwrap();
            sink.write_all(b"1234\n").unwrap();
            drop(guard);
        }
        let text = std::fs::read_to_string(dir.join("chatd.log")).unwrap();
        std::fs::remove_dir_all(&dir).unwrap();
        assert!(text.starts_with("1234\nthe log has reached 8 bytes"), "{text}");
    }
}
