//! Where the text of a message comes from: arguments, a file, stdin, the editor, one line at the terminal. Used by `message` and
//! `broadcast`. Bytes are kept as they are; only the editor's and the prompt's closing newline is dropped.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::path::Path;

use chat_proto::limits::TEXT_MAX;

use crate::args::TextArgs;
use crate::output::{End, Trouble};
use crate::prompt::Prompt;
use crate::words::{ask, troubles};

/// The places that were named.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// Text arguments.
    pub words: &'a [OsString],
    /// `-f`.
    pub file: Option<&'a Path>,
    /// `-e`.
    pub edit: bool,
    /// To whom, for the prompt.
    pub to: &'a str,
}

impl<'a> Source<'a> {
    /// As it was typed, to this user.
    pub fn of(typed: &'a TextArgs, to: &'a str) -> Source<'a> {
        Source { words: &typed.text, file: typed.file.as_deref(), edit: typed.edit, to }
    }

    /// Gathers the text and checks it: UTF-8, not empty, not over the limit.
    pub async fn gather(self, prompt: Prompt) -> Result<String, End> {
        let text = match (self.file, self.words) {
            (Some(file), _) if file == Path::new("-") => stdin().await?,
            (Some(file), _) => from_file(file)?,
            (None, [dash]) if dash == "-" => stdin().await?,
            (None, []) if self.edit => edited(prompt)?,
            (None, []) if !io::stdin().is_terminal() => stdin().await?,
            (None, []) => {
                let how = "an argument, -f FILE, -e, or stdin";
                prompt.line(&ask::text(self.to), "a text", how).await?
            }
            (None, words) => joined(words)?,
        };
        Ok(check(text)?)
    }
}

fn check(text: String) -> Result<String, Trouble> {
    match text.len() {
        0 => Err(troubles::empty_text()),
        bytes if bytes > TEXT_MAX => Err(troubles::too_large(Some(bytes))),
        _ => Ok(text),
    }
}

fn joined(words: &[OsString]) -> Result<String, Trouble> {
    let words: Result<Vec<_>, _> =
        words.iter().map(|word| word.to_str().ok_or_else(|| troubles::not_utf8("text", 0))).collect();
    Ok(words?.join(" "))
}

/// Reads a text file of at most a message's size: also PEM files.
pub fn from_file(path: &Path) -> Result<String, Trouble> {
    let name = path.to_string_lossy();
    let file = File::open(path).map_err(|error| troubles::unreadable(&name, &error))?;
    read_text(file, &name)
}

/// On a thread of its own, so that Ctrl-C is heard meanwhile.
async fn stdin() -> Result<String, Trouble> {
    let read = tokio::task::spawn_blocking(|| read_text(io::stdin().lock(), "stdin"));
    read.await.unwrap_or_else(|_| Err(troubles::interrupted(None)))
}

fn read_text(from: impl Read, name: &str) -> Result<String, Trouble> {
    let mut bytes = Vec::new();
    from.take(TEXT_MAX as u64 + 1).read_to_end(&mut bytes).map_err(|error| troubles::unreadable(name, &error))?;
    if bytes.len() > TEXT_MAX {
        return Err(troubles::too_large(None));
    }
    String::from_utf8(bytes).map_err(|error| troubles::not_utf8("text", error.utf8_error().valid_up_to()))
}

/// The editor of a user who names none.
const EDITOR: &str = if cfg!(windows) { "notepad" } else { "vi" };

fn edited(prompt: Prompt) -> Result<String, Trouble> {
    let text = edited_from(prompt, "", "an argument, -f FILE, or stdin")?;
    Ok(text.strip_suffix('\n').map_or(text.clone(), str::to_owned))
}

/// What the user makes of a text in the editor; `instead` is what he can do without one.
pub fn edited_from(prompt: Prompt, text: &str, instead: &str) -> Result<String, Trouble> {
    if !prompt.possible {
        return Err(troubles::no_prompt("an editor", instead));
    }
    let editor = ["VISUAL", "EDITOR"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.trim().is_empty()));
    let editor = editor.unwrap_or_else(|| EDITOR.to_owned());
    let draft = Draft::new(text).map_err(|error| troubles::editor(&editor, &error.to_string()))?;
    // The variable may hold arguments, e.g. `code --wait`.
    let mut words = editor.split_whitespace();
    let program = words.next().unwrap_or(EDITOR);
    let status = std::process::Command::new(program).args(words).arg(&draft.path).status();
    let status = status.map_err(|error| troubles::editor(program, &error.to_string()))?;
    if !status.success() {
        return Err(troubles::editor(program, &status.to_string()));
    }
    from_file(&draft.path)
}

/// A private file that goes away with this value.
struct Draft {
    path: std::path::PathBuf,
}

impl Draft {
    fn new(text: &str) -> io::Result<Draft> {
        let name = crate::key::fresh().map_err(io::Error::other)?;
        let path = std::env::temp_dir().join(format!("chatctl-{name}.txt"));
        let mut options = File::options();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&path)?.write_all(text.as_bytes())?;
        Ok(Draft { path })
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // A file that the editor renamed away is gone already.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_checked_before_they_are_sent() {
        assert_eq!(read_text(&b"two\nlines\n"[..], "test").as_deref(), Ok("two\nlines\n"));
        assert_eq!(read_text(&b"ab\xff"[..], "test").map_err(|t| t.exit.number()), Err(15));
        let full = vec![b'x'; TEXT_MAX];
        assert!(read_text(&full[..], "test").is_ok());
        let over = vec![b'x'; TEXT_MAX + 1];
        assert_eq!(read_text(&over[..], "test").map_err(|t| t.code), Err("too_large"));
        assert_eq!(check(String::new()).map_err(|t| t.exit.number()), Err(15));
        assert_eq!(joined(&["a".into(), "b  c".into()]).as_deref(), Ok("a b  c"));
    }
}
