//! The journal's native form (systemd's "Native Journal Protocol"): one event is one datagram of lines `FIELD=value`, so that what an
//! event says about itself can be searched for: `journalctl -u chat-server CHAT_ACCOUNT=bob`.
//!
//! The message is the line that a file would have, escaped in the same way, and so is every value: nothing that comes from outside
//! makes a second line, which the journal would take for a field, or bytes that it would show as a blob (S25).

use std::fmt::Write as _;
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::fmt::format::{Format, Full, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::logging::{FOR_JOURNAL, escape, priority};

/// Where journald takes events.
const SOCKET: &str = "/run/systemd/journal/socket";
/// Before the name of each field of ours, so that none is taken for one of the journal's own.
const PREFIX: &str = "CHAT_";
/// Bytes of one value: a datagram must fit into the socket's buffer, and no value of ours is near this.
const VALUE_MAX: usize = 16 * 1024;
/// Bytes of a field's name that the journal takes.
const NAME_MAX: usize = 64;

/// Makes an event one datagram.
pub(crate) struct Datagram {
    name: &'static str,
    line: Format<Full, ()>,
}

impl Datagram {
    /// Events of the program `name`.
    pub(crate) fn of(name: &'static str) -> Datagram {
        Datagram { name, line: Format::default().without_time().with_ansi(false) }
    }
}

impl<S, N> FormatEvent<S, N> for Datagram
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> std::fmt::Result {
        let mut line = String::new();
        self.line.format_event(context, Writer::new(&mut line), event)?;
        let meta = event.metadata();
        let mut fields = Fields(String::new());
        fields.add("MESSAGE", line.trim());
        fields.add("PRIORITY", priority(*meta.level()));
        fields.add("SYSLOG_IDENTIFIER", self.name);
        fields.place(meta);
        event.record(&mut fields);
        out.write_str(&fields.0)
    }
}

/// Lines so far.
struct Fields(String);

impl Fields {
    fn add(&mut self, name: &str, value: &str) {
        let value = match value.char_indices().find(|(at, _)| *at >= VALUE_MAX) {
            Some((end, _)) => &value[..end],
            None => value,
        };
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "{name}={}", escape(&chat_proto::display::cause(value)));
    }

    fn place(&mut self, meta: &Metadata<'_>) {
        self.add("TARGET", meta.target());
        if let (Some(file), Some(line)) = (meta.file(), meta.line()) {
            self.add("CODE_FILE", file);
            self.add("CODE_LINE", &line.to_string());
        }
    }

    fn own(&mut self, field: &Field, value: &str) {
        // The text itself is the message already.
        if field.name() != "message" {
            self.add(&name(field.name()), value);
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.own(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.own(field, &format!("{value:?}"));
    }
}

/// A field's name as the journal takes it: upper-case letters, digits and underscores.
fn name(field: &str) -> String {
    let field = field.strip_prefix(FOR_JOURNAL).unwrap_or(field);
    let letters = field.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' });
    PREFIX.chars().chain(letters).take(NAME_MAX).collect()
}

/// The way to journald. What it does not take goes to standard error, which under systemd leads to it as well, but without fields.
pub(crate) struct Socket(UnixDatagram);

impl Socket {
    /// Nothing where no journald is.
    pub(crate) fn open() -> Option<Socket> {
        Socket::at(Path::new(SOCKET))
    }

    fn at(path: &Path) -> Option<Socket> {
        let socket = UnixDatagram::unbound().ok()?;
        socket.connect(path).ok()?;
        Some(Socket(socket))
    }
}

impl Write for Socket {
    fn write(&mut self, datagram: &[u8]) -> io::Result<usize> {
        if self.0.send(datagram).is_err() {
            let message = datagram.split(|byte| *byte == b'\n').next().unwrap_or_default();
            let mut line = message.strip_prefix(b"MESSAGE=").unwrap_or(message).to_owned();
            line.push(b'\n');
            io::stderr().write_all(&line)?;
        }
        Ok(datagram.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_such_as_the_journal_takes() {
        assert_eq!(name("account"), "CHAT_ACCOUNT");
        assert_eq!(name("log.level-x"), "CHAT_LOG_LEVEL_X");
        assert_eq!(name(&"a".repeat(100)).len(), NAME_MAX);
    }

    #[test]
    fn a_value_is_one_line_of_bounded_length() {
        let mut fields = Fields(String::new());
        fields.add("A", "one\nPRIORITY=0\n\u{1b}[2J");
        fields.add("B", &"\u{e9}".repeat(VALUE_MAX));
        let lines: Vec<&str> = fields.0.lines().collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0], "A=one\\nPRIORITY=0\\n\\u{1b}[2J");
        assert_eq!(lines[1].len(), "B=".len() + VALUE_MAX);
    }

    #[test]
    fn one_event_is_one_datagram() {
        let path = std::env::temp_dir().join(format!("chat-process-journal-{}", std::process::id()));
        let journald = UnixDatagram::bind(&path).unwrap();
        let mut socket = Socket::at(&path).unwrap();
        socket.write_all(b"MESSAGE=hi\nPRIORITY=6\n").unwrap();
        let mut heard = [0; 64];
        let length = journald.recv(&mut heard).unwrap();
        assert_eq!(&heard[..length], b"MESSAGE=hi\nPRIORITY=6\n");
        // One that has gone takes nothing, and nobody fails for it.
        drop(journald);
        std::fs::remove_file(&path).unwrap();
        socket.write_all(b"MESSAGE=lost\n").unwrap();
        assert!(Socket::at(&path).is_none());
    }
}
