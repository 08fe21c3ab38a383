//! Questions to the operator at the terminal, and secrets from stdin. Where nobody can be asked the verb ends with 12 and names the
//! flag that answers.

use std::fs::File;
use std::io::{self, BufRead as _, IsTerminal as _, Read, Write as _};

use anyhow::Context as _;
use chat_proto::limits::PASSWORD_MAX;
use chat_server::admin::Secret;
use chat_server::advice::Trouble;
use zeroize::Zeroizing;

/// A new password: from stdin, or asked for twice.
pub fn new_password(from_stdin: bool) -> anyhow::Result<Secret> {
    if from_stdin {
        return secret_from(io::stdin().lock());
    }
    require("a password", "--password-stdin")?;
    let ask = |question| rpassword::prompt_password(question).map(Zeroizing::new);
    let first = ask("New password: ").context("cannot ask for the password")?;
    if *first != *ask("Again: ").context("cannot ask for the password")? {
        return Err(Trouble::new(1, "passwords_differ", "the two passwords differ; nothing was changed").into());
    }
    Ok(Secret(first))
}

/// One line of the terminal.
pub fn line(question: &str, what: &str, how: &str) -> anyhow::Result<String> {
    require(what, how)?;
    let mut tty = File::options().read(true).write(true).open("/dev/tty").context("/dev/tty")?;
    tty.write_all(question.as_bytes())?;
    let mut line = String::new();
    io::BufReader::new(tty).take(4096).read_line(&mut line)?;
    Ok(line.trim().to_owned())
}

fn require(what: &str, how: &str) -> anyhow::Result<()> {
    let ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false" && value != "0");
    if !ci && io::stderr().is_terminal() && File::options().read(true).write(true).open("/dev/tty").is_ok() {
        return Ok(());
    }
    let text = format!("there is no terminal to ask for {what}: give {how}");
    Err(Trouble::new(12, "no_prompt", text).into())
}

fn secret_from(from: impl Read) -> anyhow::Result<Secret> {
    // Room for all of it at once: a vector that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(PASSWORD_MAX + 3));
    from.take(PASSWORD_MAX as u64 + 3).read_to_end(&mut bytes).context("cannot read the password from stdin")?;
    let Ok(text) = std::str::from_utf8(&bytes) else {
        return Err(Trouble::new(15, "bad_password", "the password on stdin is not UTF-8 text").into());
    };
    let text = text.strip_suffix('\n').unwrap_or(text);
    Ok(Secret(Zeroizing::new(text.strip_suffix('\r').unwrap_or(text).to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_newline_is_no_part_of_a_secret() {
        let secret = |bytes: &'static [u8]| secret_from(bytes).map(|secret| secret.0.to_string()).ok();
        assert_eq!(secret(b"wise@!man\n").as_deref(), Some("wise@!man"));
        assert_eq!(secret(b" two words \r\n").as_deref(), Some(" two words "));
        assert_eq!(secret(b"a\n\n").as_deref(), Some("a\n"));
        assert_eq!(secret(b"\xff"), None);
    }
}
