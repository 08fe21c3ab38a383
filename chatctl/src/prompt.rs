//! Questions to the person at the terminal: passwords, names, yes or no, keys. Refused (exit 12) where nobody can answer.

use std::fs::File;
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::path::Path;

use chat_proto::limits::PASSWORD_MAX;
use zeroize::Zeroizing;

use crate::output::{End, Trouble};
use crate::words::{ask, troubles};

/// A password or an invitation; erased when dropped.
pub type Secret = Zeroizing<String>;

/// Whether and whom to ask.
#[derive(Clone, Copy, Debug)]
pub struct Prompt {
    /// Somebody can be asked: a terminal, no `--no-input`, not under CI.
    pub possible: bool,
    /// `--yes`.
    pub yes: bool,
}

impl Prompt {
    /// Reads the circumstances: `CI` in the environment and the terminal.
    pub fn of_process(no_input: bool, yes: bool) -> Prompt {
        let ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false" && value != "0");
        let possible = !no_input && !ci && io::stderr().is_terminal() && tty().is_ok();
        Prompt { possible, yes }
    }

    /// A password: that of the unit, where one is handed over, else asked for without echo.
    pub async fn password(self) -> Result<Secret, End> {
        match credential()? {
            Some(handed_over) => Ok(handed_over),
            None => self.typed_password().await,
        }
    }

    async fn typed_password(self) -> Result<Secret, End> {
        self.require("a password", "--password-file F, --password-stdin, or LoadCredential=chat.password:F in a unit")?;
        secret(ask::PASSWORD).await
    }

    /// The password as it is, without echo.
    pub async fn old_password(self) -> Result<Secret, End> {
        self.require(
            "the old password with the new one",
            "--old-password-file F --new-password-file F or --password-stdin",
        )?;
        secret(ask::OLD_PASSWORD).await
    }

    /// The first password of an account: that of the unit, or asked for twice. `verb` is what to run again when they differ.
    pub async fn first_password(self, verb: &str) -> Result<Secret, End> {
        match credential()? {
            Some(handed_over) => Ok(handed_over),
            None => self.again(self.typed_password().await?, verb).await,
        }
    }

    /// Another password for an account, twice.
    pub async fn new_password(self, verb: &str) -> Result<Secret, End> {
        let first = secret(ask::NEW_PASSWORD).await?;
        self.again(first, verb).await
    }

    async fn again(self, first: Secret, verb: &str) -> Result<Secret, End> {
        if *first != *secret(ask::AGAIN).await? {
            return Err(troubles::passwords_differ(verb).into());
        }
        Ok(first)
    }

    /// One line, e.g. a name.
    pub async fn line(self, question: &str, what: &str, how: &str) -> Result<String, End> {
        self.require(what, how)?;
        answer(question.to_owned()).await
    }

    /// As [`Prompt::line`]; nothing when the terminal's input ended (Ctrl-D).
    pub async fn line_or_end(self, question: &str, what: &str, how: &str) -> Result<Option<String>, End> {
        self.require(what, how)?;
        answer_or_end(question.to_owned()).await
    }

    /// Yes or no; `--yes` answers. `how` names the flag for where nobody can be asked.
    pub async fn confirm(self, question: &str, how: &str) -> Result<bool, End> {
        if self.yes {
            return Ok(true);
        }
        self.require("a yes or no", how)?;
        Ok(is_yes(&answer(question.to_owned()).await?))
    }

    /// A question about a key: `--yes` does not answer it; nothing when nobody can be asked.
    pub async fn trust(self, question: &str) -> Result<bool, End> {
        Ok(self.possible && is_yes(&answer(question.to_owned()).await?))
    }

    fn require(self, what: &str, how: &str) -> Result<(), End> {
        if self.possible { Ok(()) } else { Err(troubles::no_prompt(what, how).into()) }
    }
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

/// The terminal itself, to read from and to write to.
#[cfg(unix)]
fn tty() -> io::Result<(File, File)> {
    let tty = File::options().read(true).write(true).open("/dev/tty")?;
    Ok((tty.try_clone()?, tty))
}

/// The console itself, to read from and to write to.
#[cfg(windows)]
fn tty() -> io::Result<(File, File)> {
    let open = |name| File::options().read(true).write(true).open(name);
    Ok((open("CONIN$")?, open("CONOUT$")?))
}

/// Asks on the terminal itself, so that stdin stays free.
async fn answer(question: String) -> Result<String, End> {
    Ok(answer_or_end(question).await?.unwrap_or_default())
}

async fn answer_or_end(question: String) -> Result<Option<String>, End> {
    blocking(move || {
        let (typed, mut shown) = tty()?;
        shown.write_all(question.as_bytes())?;
        let mut line = String::new();
        let read = io::BufReader::new(typed).take(4096).read_line(&mut line)?;
        Ok((read > 0).then(|| line.trim().to_owned()))
    })
    .await
}

async fn secret(question: &'static str) -> Result<Secret, End> {
    seal();
    blocking(move || rpassword::prompt_password(question).map(Zeroizing::new)).await
}

async fn blocking<T: Send + 'static>(read: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T, End> {
    match tokio::task::spawn_blocking(read).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => Err(troubles::interrupted(None).into()),
        Ok(Err(error)) => Err(troubles::unreadable("the terminal", &error).into()),
        Err(_) => Err(troubles::interrupted(None).into()),
    }
}

/// A secret is in memory from here on: no core dump, no other process of the user reads it (S37). Not done at the start, as it
/// also closes /dev/stdin and the shell's `<(...)`.
pub fn seal() {
    #[cfg(target_os = "linux")]
    {
        // An old kernel may refuse; the secret is no worse off than without.
        let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    }
}

/// A password that no server takes is refused before anything is sent.
pub fn checked(password: Secret) -> Result<Secret, Trouble> {
    if password.is_empty() || password.len() > PASSWORD_MAX { Err(troubles::bad_password()) } else { Ok(password) }
}

/// The password that the service manager hands to a unit: the credential `chat.password` (systemd.exec(5), LoadCredential=).
fn credential() -> Result<Option<Secret>, Trouble> {
    const NAME: &str = "chat.password";
    let Some(dir) = std::env::var_os("CREDENTIALS_DIRECTORY").filter(|dir| !dir.is_empty()) else { return Ok(None) };
    let file = Path::new(&dir).join(NAME);
    if file.exists() { secret_file(&file).map(Some) } else { Ok(None) }
}

/// A secret from a file; one newline at its end is not part of it.
pub fn secret_file(path: &Path) -> Result<Secret, Trouble> {
    let file = File::open(path).map_err(|error| troubles::unreadable(&path.to_string_lossy(), &error))?;
    secret_from(file, &path.to_string_lossy())
}

/// A secret from stdin.
pub fn secret_stdin() -> Result<Secret, Trouble> {
    secret_from(io::stdin().lock(), "stdin")
}

/// The old and the new password from stdin, a line each.
pub fn two_secrets_stdin() -> Result<(Secret, Secret), Trouble> {
    two_secrets(io::stdin().lock())
}

fn two_secrets(from: impl Read) -> Result<(Secret, Secret), Trouble> {
    let both = secret_bytes(from, "stdin", 2 * (PASSWORD_MAX + 2) + 1)?;
    let (old, new) = both.split_once('\n').ok_or_else(troubles::one_password)?;
    Ok((line(old), line(new)))
}

fn secret_from(from: impl Read, name: &str) -> Result<Secret, Trouble> {
    Ok(line(&secret_bytes(from, name, PASSWORD_MAX + 3)?))
}

/// At most so many bytes of text.
fn secret_bytes(from: impl Read, name: &str, at_most: usize) -> Result<Secret, Trouble> {
    // Room for all of it at once: a vector that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(at_most));
    from.take(at_most as u64).read_to_end(&mut bytes).map_err(|error| troubles::unreadable(name, &error))?;
    seal();
    let text = std::str::from_utf8(&bytes).map_err(|error| troubles::not_utf8("secret", error.valid_up_to()))?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// Without the one newline at its end.
fn line(text: &str) -> Secret {
    let text = text.strip_suffix('\n').unwrap_or(text);
    Zeroizing::new(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_newline_is_no_part_of_a_secret() {
        let secret = |bytes: &'static [u8]| secret_from(bytes, "test").map(|secret| secret.to_string());
        assert_eq!(secret(b"wise@!man\n").as_deref(), Ok("wise@!man"));
        assert_eq!(secret(b" two words \r\n").as_deref(), Ok(" two words "));
        assert_eq!(secret(b"a\n\n").as_deref(), Ok("a\n"));
        assert!(secret(b"\xff").is_err());
    }

    #[test]
    fn two_secrets_are_a_line_each() {
        let both = |bytes: &'static [u8]| {
            two_secrets(bytes).map(|(old, new)| (old.to_string(), new.to_string())).map_err(|trouble| trouble.exit)
        };
        assert_eq!(both(b"old one\r\n new \r\n"), Ok(("old one".into(), " new ".into())));
        assert_eq!(both(b"old\nnew"), Ok(("old".into(), "new".into())));
        assert!(both(b"only one").is_err());
    }

    #[test]
    fn only_yes_is_yes() {
        assert!(is_yes("Y\n") && is_yes("yes"));
        assert!(!is_yes("") && !is_yes("n") && !is_yes("ye"));
    }
}
