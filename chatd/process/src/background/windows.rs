//! The program started again without a console, as Windows has no fork.
//!
//! The daemon's stdout is the pipe to the parent: the one handle that can be handed on without unsafe code. What else is printed
//! there is not heard. The daemon keeps handles that its parent was given to inherit, so whoever reads the parent's output through a
//! pipe reaches the end of it when the daemon ends.

use std::fs::OpenOptions;
use std::io::{self, Read, Stdout, Write as _};
use std::os::windows::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{LINE_MAX, Readiness, Role, listen};

/// The argument that the program is started again with. `main` must take it, do as it did before, and come to [`detach`].
pub const DETACHED: &str = "--detached";

/// Without a console, and not ended by keys at that of the parent.
const DETACHED_PROCESS: u32 = 0x0000_0008;
const CREATE_NEW_PROCESS_GROUP: u32 = 0x0000_0200;

/// Before and behind the line: stdout may hold other text.
const BEGIN: u8 = 1;
const END: u8 = 0;

/// The child's end.
pub(super) type Pipe = Stdout;

/// Starts the program again with the same arguments and [`DETACHED`]; in that one, goes on as the daemon. It has no console, the
/// same directory, and `log` (or nothing) as its stderr. The parent waits `within` for the child's word.
pub fn detach(log: Option<&Path>, within: Duration) -> io::Result<Role> {
    if std::env::args_os().any(|argument| argument == DETACHED) {
        return Ok(Role::Child(Readiness(Some(io::stdout()))));
    }
    let stderr = match log {
        Some(path) => Stdio::from(OpenOptions::new().append(true).create(true).open(path)?),
        None => Stdio::null(),
    };
    let mut again = Command::new(std::env::current_exe()?);
    again.args(std::env::args_os().skip(1)).arg(DETACHED);
    again.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr);
    let mut child = again.creation_flags(DETACHED_PROCESS | CREATE_NEW_PROCESS_GROUP).spawn()?;
    let pipe = child.stdout.take().ok_or_else(|| io::Error::other("no pipe to the daemon"))?;
    Ok(Role::Parent(listen(pipe, log.map(Path::to_owned), within)))
}

pub(super) fn tell(mut pipe: Pipe, line: &str) -> io::Result<()> {
    pipe.write_all(&[&[BEGIN], line.as_bytes(), &[END]].concat())?;
    pipe.flush()
}

/// The daemon keeps its end, so the line has an end of its own.
pub(super) fn hear(pipe: impl Read) -> String {
    let (mut line, mut begun) = (Vec::new(), false);
    // What came before an error is still worth knowing.
    for byte in io::BufReader::new(pipe).take(LINE_MAX).bytes().map_while(Result::ok) {
        match byte {
            BEGIN => {
                line.clear();
                begun = true;
            }
            END if begun => break,
            byte => line.push(byte),
        }
    }
    String::from_utf8_lossy(&line).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_found_among_other_text() {
        assert_eq!(hear(&b"hello\n\x01failed 69 two\nlines\0more"[..]), "failed 69 two\nlines");
        assert_eq!(hear(&b"\x01ready\0"[..]), "ready");
        assert_eq!(hear(&b"hello\0"[..]), "hello\0");
    }
}
