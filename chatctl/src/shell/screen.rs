//! Where lines come from and notices go: the line editor on a terminal that can, else plain lines. Prompts are for terminals alone.

use std::collections::VecDeque;
use std::io::IsTerminal;
use std::path::PathBuf;

use tokio::sync::mpsc;

use super::Entered;
use super::editor::Editor;
use super::names::Names;
use super::plain::Plain;
use crate::output::{End, Output};
use crate::words::troubles;

/// The person's side of the session.
pub struct Screen {
    input: Input,
    out: Output,
    /// Lines of one paste, one at a time.
    pasted: VecDeque<String>,
    /// The prompt of the line that is open.
    prompt: String,
    prompts: bool,
}

enum Input {
    Editor(Box<Editor>),
    Plain(Plain),
}

/// Notices may be many; whoever takes events waits here before the next one.
pub struct Room(Option<mpsc::Sender<String>>);

impl Room {
    /// Waits until one more notice may come.
    pub async fn wait(&self) {
        if let Some(notices) = &self.0 {
            // An error means that nothing is printed any more: then there is room.
            let _ = notices.reserve().await;
        }
    }
}

/// Somebody sits there: both ends are a terminal.
pub fn is_terminal() -> bool {
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

impl Screen {
    /// Lines as they are, for where there is no terminal, and for the login.
    pub fn plain(out: &Output) -> Screen {
        Screen::new(Input::Plain(Plain::start()), out, false)
    }

    /// What the terminal can do. `history` is the file of earlier lines.
    pub fn terminal(out: &Output, history: PathBuf, names: Names) -> Result<Screen, End> {
        let input = if std::env::var_os("TERM").is_some_and(|term| term == "dumb") {
            Input::Plain(Plain::start())
        } else {
            let editor = Editor::start(history, names, out.color);
            let editor = editor.map_err(|error| troubles::unreadable("the terminal", &std::io::Error::other(error)))?;
            Input::Editor(Box::new(editor))
        };
        Ok(Screen::new(input, out, true))
    }

    fn new(input: Input, out: &Output, prompts: bool) -> Screen {
        Screen { input, out: out.clone(), pasted: VecDeque::new(), prompt: String::new(), prompts }
    }

    /// Somebody sits there.
    pub fn is_terminal(&self) -> bool {
        self.prompts
    }

    /// What is printed by [`Screen::notice`] was seen then and there; otherwise the line that is open comes first.
    pub fn prints_at_once(&self) -> bool {
        matches!(self.input, Input::Plain(_))
    }

    /// The next line. May be dropped and called again; then the prompt of the first call stands.
    pub async fn line(&mut self, prompt: &str) -> Result<Entered, End> {
        if let Some(line) = self.pasted.pop_front() {
            return Ok(Entered::Line(line));
        }
        match &mut self.input {
            Input::Editor(editor) => match editor.line(prompt).await {
                Entered::Line(text) => Ok(self.several(&text)),
                entered => Ok(entered),
            },
            Input::Plain(plain) => {
                if self.prompts && !plain.waiting() {
                    prompt.clone_into(&mut self.prompt);
                    self.out.write(prompt)?;
                }
                Ok(plain.line().await)
            }
        }
    }

    /// Several lines that were pasted are several lines.
    fn several(&mut self, text: &str) -> Entered {
        self.pasted = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line).to_owned()).collect();
        Entered::Line(self.pasted.pop_front().unwrap_or_default())
    }

    /// Ctrl-C: the rest of a paste is not wanted any more, nor is a line that the terminal itself has cleared.
    pub fn interrupted(&mut self) -> Result<(), End> {
        self.pasted.clear();
        match &self.input {
            Input::Plain(plain) if self.prompts && plain.waiting() => self.out.write(&format!("\n{}", self.prompt)),
            _ => Ok(()),
        }
    }

    /// Where one more notice may go.
    pub fn room(&self) -> Room {
        match &self.input {
            Input::Editor(editor) => Room(Some(editor.notices())),
            Input::Plain(_) => Room(None),
        }
    }

    /// Prints something that nobody asked for; the line that is being typed stays whole where the terminal can do that.
    pub fn notice(&self, text: String) -> Result<(), End> {
        match &self.input {
            Input::Editor(editor) => {
                editor.notice(text);
                Ok(())
            }
            Input::Plain(plain) if self.prompts && plain.waiting() => {
                self.out.write(&format!("\n{text}\n{}", self.prompt))
            }
            Input::Plain(_) => self.out.line(&text),
        }
    }

    /// The end: the terminal is as it was before.
    pub async fn close(self) {
        if let Input::Editor(editor) = self.input {
            editor.close().await;
        }
    }
}
