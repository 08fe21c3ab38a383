//! Lines from stdin as they are: a pipe, a file, or a terminal that cannot do more. The screen asks for each line when it is due, so
//! that a line is read only once the one before has been answered.

use std::io::{self, BufRead, Read};
use std::sync::mpsc as thread;

use chat_proto::limits::TEXT_MAX;
use tokio::sync::mpsc;

use super::Entered;
use crate::words::{shell as words, troubles};

/// Bytes of a line: a text of the largest size, and the words before it.
const LINE_MAX: usize = TEXT_MAX + 4096;

/// The thread that reads.
pub struct Plain {
    asks: thread::Sender<()>,
    answers: mpsc::Receiver<Entered>,
    waiting: bool,
}

impl Plain {
    /// Starts it; nothing is read before it is asked.
    pub fn start() -> Plain {
        let (asks, asked) = thread::channel();
        // One line at most is on its way: the next is asked for when it was taken.
        let (answer, answers) = mpsc::channel(1);
        std::thread::spawn(move || {
            while asked.recv().is_ok() {
                if answer.blocking_send(line(&mut io::stdin().lock())).is_err() {
                    return;
                }
            }
        });
        Plain { asks, answers, waiting: false }
    }

    /// Is a line awaited already?
    pub fn waiting(&self) -> bool {
        self.waiting
    }

    /// The next line. May be dropped and called again.
    pub async fn line(&mut self) -> Entered {
        if !self.waiting {
            self.waiting = self.asks.send(()).is_ok();
        }
        let entered = self.answers.recv().await.unwrap_or(Entered::End);
        self.waiting = false;
        entered
    }
}

/// Reads one line without its end; what cannot be a line is passed over up to its end and refused.
fn line(from: &mut impl BufRead) -> Entered {
    let mut bytes = Vec::new();
    if let Err(error) = from.by_ref().take(LINE_MAX as u64 + 1).read_until(b'\n', &mut bytes) {
        return Entered::Failed(troubles::unreadable("stdin", &error));
    }
    if bytes.is_empty() {
        return Entered::End;
    }
    if bytes.len() > LINE_MAX && !bytes.ends_with(b"\n") {
        return match pass_over(from) {
            Ok(()) => Entered::Refused(words::LONG_LINE.to_owned()),
            Err(error) => Entered::Failed(troubles::unreadable("stdin", &error)),
        };
    }
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => return Entered::Refused(words::not_utf8(error.utf8_error().valid_up_to())),
    };
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Entered::Line(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

fn pass_over(from: &mut impl BufRead) -> io::Result<()> {
    loop {
        let some = from.fill_buf()?;
        match some.iter().position(|byte| *byte == b'\n') {
            Some(end) => {
                from.consume(end + 1);
                return Ok(());
            }
            None if some.is_empty() => return Ok(()),
            None => {
                let passed = some.len();
                from.consume(passed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8]) -> Vec<String> {
        let mut from = io::BufReader::with_capacity(64, bytes);
        let mut all = Vec::new();
        loop {
            match line(&mut from) {
                Entered::Line(text) => all.push(text),
                Entered::Refused(why) => all.push(format!("refused: {why}")),
                Entered::End => return all,
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn lines_are_kept_as_they_are() {
        assert_eq!(lines(b"whoelse\nmessage hans  hi \t \n\nlast"), ["whoelse", "message hans  hi \t ", "", "last"]);
        assert_eq!(lines(b"whoelse\r\nlogout\r\n"), ["whoelse", "logout"]);
        assert_eq!(lines(b"a\rb\n\x00\x1b[2J\n"), ["a\rb", "\x00\x1b[2J"]);
        assert_eq!(lines(b""), Vec::<String>::new());
    }

    #[test]
    fn what_is_no_line_is_refused_and_the_next_one_read() {
        let mut bytes = b"ab\xff\nwhoelse\n".to_vec();
        bytes.extend(vec![b'x'; LINE_MAX + 1]);
        bytes.extend(b"\ninbox\n");
        bytes.extend(vec![b'y'; LINE_MAX]);
        bytes.push(b'\n');
        bytes.extend(vec![b'z'; 3 * LINE_MAX]);
        let got = lines(&bytes);
        assert_eq!(got[0], format!("refused: {}", words::not_utf8(2)));
        assert_eq!(got[1], "whoelse");
        assert_eq!(got[2], format!("refused: {}", words::LONG_LINE));
        assert_eq!(got[3], "inbox");
        assert_eq!(got[4].len(), LINE_MAX);
        assert_eq!(got[5], format!("refused: {}", words::LONG_LINE));
        assert_eq!(got.len(), 6);
    }
}
