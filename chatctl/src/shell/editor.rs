//! The line that is being edited on a terminal, and notices that appear above it meanwhile. Two threads stand behind it, as the line
//! editor blocks: one edits, one prints notices. The screen owns both ends.
//!
//! Results of commands are printed between two lines by whoever runs them. Notices are printed only while a line is open, through
//! the editor, which takes its line away, prints, and draws it again: so the two never meet. The [`Gate`] tells the printing thread
//! when that is.

use std::io::Write;
use std::path::PathBuf;
use std::sync::mpsc as thread;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustyline::completion::Completer;
use rustyline::config::Configurer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{ColorMode, Config, Context, ExternalPrinter, Helper, Prompt};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::Entered;
use super::names::Names;
use super::terminal::Modes;
use crate::words::troubles;

/// Notices that may wait to be printed; when they do, no more events are taken from chatd (contract, P9).
const NOTICES_MAX: usize = 64;
/// Lines that the history file keeps: weeks of use, and a file that loads in a millisecond.
const HISTORY_MAX: usize = 1000;
/// Longer lines are not kept in the history: they are pasted texts.
const HISTORY_LINE_MAX: usize = 4096;
/// At the end notices that wait get so long to be printed; what is not printed is still unread.
const LAST_WORDS_WITHIN: Duration = Duration::from_millis(500);

type Lines = rustyline::Editor<Assistant, FileHistory>;

/// The line editor with its two threads.
pub struct Editor {
    asks: thread::Sender<String>,
    answers: mpsc::Receiver<Entered>,
    notices: mpsc::Sender<String>,
    printed: mpsc::Receiver<()>,
    gate: Arc<Gate>,
    waiting: bool,
    modes: Modes,
}

impl Editor {
    /// Starts it; no line is opened before one is asked for. `history` is the file of earlier lines.
    pub fn start(history: PathBuf, names: Names, color: bool) -> Result<Editor, ReadlineError> {
        let modes = Modes::keep();
        let gate = Arc::new(Gate::default());
        let mut lines = editor(color)?;
        lines.set_helper(Some(Assistant { names, gate: Arc::clone(&gate) }));
        let printer = lines.create_external_printer()?;
        let file = History::open(history, &mut lines);
        let (asks, asked) = thread::channel();
        let (answer, answers) = mpsc::channel(1);
        let (notices, waiting) = mpsc::channel(NOTICES_MAX);
        let (done, printed) = mpsc::channel(1);
        let (editing, printing) = (Arc::clone(&gate), Arc::clone(&gate));
        std::thread::spawn(move || edit(lines, file, &asked, &answer, &editing));
        std::thread::spawn(move || {
            print(waiting, printer, &printing);
            // Nobody may wait for it any more.
            let _ = done.blocking_send(());
        });
        Ok(Editor { asks, answers, notices, printed, gate, waiting: false, modes })
    }

    /// The next line; the prompt counts when no line is open yet. May be dropped and called again.
    pub async fn line(&mut self, prompt: &str) -> Entered {
        if !self.waiting {
            self.waiting = self.asks.send(prompt.to_owned()).is_ok();
        }
        let entered = self.answers.recv().await.unwrap_or(Entered::End);
        self.waiting = false;
        entered
    }

    /// Where notices wait.
    pub fn notices(&self) -> mpsc::Sender<String> {
        self.notices.clone()
    }

    /// Prints above the line that is being edited, or with the next one.
    pub fn notice(&self, text: String) {
        // There is room; and a notice that is not shown is still unread.
        let _ = self.notices.try_send(text);
    }

    /// Gives the terminal back as it was, and prints what waits.
    pub async fn close(mut self) {
        if self.waiting {
            // Below the line that stays half typed.
            self.modes.leave_line();
        }
        self.modes.restore();
        self.gate.set(Stage::Over);
        drop(self.notices);
        // What hangs is not waited for; the process ends.
        let _ = timeout(LAST_WORDS_WITHIN, self.printed.recv()).await;
    }
}

fn editor(color: bool) -> Result<Lines, ReadlineError> {
    let config = Config::builder()
        .max_history_size(HISTORY_MAX)?
        .history_ignore_space(true)
        .color_mode(if color { ColorMode::Enabled } else { ColorMode::Disabled })
        .completion_type(rustyline::CompletionType::List)
        .bell_style(rustyline::config::BellStyle::None)
        .build();
    let mut lines = Lines::with_config(config)?;
    // Terminals that do not know it may show it.
    lines.enable_synchronized_output(false);
    Ok(lines)
}

/// Opens a line for every prompt that is asked for.
fn edit(
    mut lines: Lines,
    mut file: History,
    asked: &thread::Receiver<String>,
    answer: &mpsc::Sender<Entered>,
    gate: &Gate,
) {
    while let Ok(text) = asked.recv() {
        gate.set(Stage::Due);
        let outcome = lines.readline(&Opening { text, gate });
        gate.set(Stage::Shut);
        let entered = match outcome {
            Ok(line) => {
                file.add(&mut lines, &line);
                Entered::Line(line)
            }
            Err(ReadlineError::Interrupted) => Entered::Cleared,
            Err(ReadlineError::Eof) => Entered::End,
            // The window's size changed while it could not be redrawn.
            Err(ReadlineError::Signal(_)) => Entered::Cleared,
            Err(error) => Entered::Failed(troubles::unreadable("the terminal", &std::io::Error::other(error))),
        };
        if answer.blocking_send(entered).is_err() {
            return;
        }
    }
}

/// Prints notices while a line is open; at the end of the session what is left goes out directly.
fn print(mut waiting: mpsc::Receiver<String>, mut printer: impl ExternalPrinter, gate: &Gate) {
    while let Some(text) = waiting.blocking_recv() {
        let text = format!("{text}\n");
        let printed = match gate.wait() {
            Stage::Over => std::io::stdout().write_all(text.as_bytes()).map_err(ReadlineError::from),
            _ => printer.print(text),
        };
        if printed.is_err() {
            return;
        }
    }
}

/// When notices may be printed. A lock with a condition: the two threads block, and no owner could hand it to both.
#[derive(Default)]
struct Gate {
    stage: Mutex<Stage>,
    changed: Condvar,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    /// No line is open: results are being printed.
    #[default]
    Shut,
    /// A line is about to be opened.
    Due,
    /// A line is open: its prompt was drawn.
    Open,
    /// The session is over.
    Over,
}

impl Gate {
    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, stage: Stage) {
        let mut now = self.stage();
        if *now != Stage::Over {
            *now = stage;
        }
        self.changed.notify_all();
    }

    /// The prompt is being drawn: the terminal is the editor's now.
    fn drawn(&self) {
        let mut now = self.stage();
        if *now == Stage::Due {
            *now = Stage::Open;
            self.changed.notify_all();
        }
    }

    fn wait(&self) -> Stage {
        let closed = |now: &mut Stage| !matches!(now, Stage::Open | Stage::Over);
        *self.changed.wait_while(self.stage(), closed).unwrap_or_else(PoisonError::into_inner)
    }
}

/// The prompt; that the editor asks for it says that its line is open.
struct Opening<'a> {
    text: String,
    gate: &'a Gate,
}

impl Prompt for Opening<'_> {
    fn raw(&self) -> &str {
        self.gate.drawn();
        &self.text
    }
}

/// What the editor asks while a line is typed.
struct Assistant {
    names: Names,
    gate: Arc<Gate>,
}

impl Helper for Assistant {}
impl Highlighter for Assistant {}
impl Hinter for Assistant {
    type Hint = String;
}

impl Validator for Assistant {
    /// Enter was typed: what comes from now on waits for the next line, so that it does not mix with the results of this one.
    fn validate(&self, _: &mut ValidationContext) -> rustyline::Result<ValidationResult> {
        self.gate.set(Stage::Shut);
        Ok(ValidationResult::Valid(None))
    }
}

impl Completer for Assistant {
    type Candidate = String;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(self.names.complete(line.get(..pos).unwrap_or(line)))
    }
}

/// The file of earlier lines, for this user's eyes alone. A file that cannot be used is no reason not to chat.
struct History {
    path: PathBuf,
}

impl History {
    fn open(path: PathBuf, lines: &mut Lines) -> History {
        make_private(&path);
        // None there yet, or none that can be read.
        let _ = lines.load_history(&path);
        History { path }
    }

    /// Keeps a line that may be wanted again. Texts of private sessions stay out: they are on no disk but the peers' histories.
    fn add(&mut self, lines: &mut Lines, line: &str) {
        let private = line.trim_start().starts_with("private");
        if private || line.len() > HISTORY_LINE_MAX || line.contains('\n') || line.trim().len() < 2 {
            return;
        }
        if lines.add_history_entry(line).is_ok_and(|added| added) {
            let _ = lines.append_history(&self.path);
        }
    }
}

/// One that others could read, say from a copied home, is closed to them.
#[cfg(unix)]
fn make_private(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    if path.exists() {
        let _ = std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600));
    }
}

/// It has the rights of the user's folder.
#[cfg(windows)]
fn make_private(_path: &std::path::Path) {}
