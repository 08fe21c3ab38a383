//! The terminal's modes as they were before the shell: given back at every end, also one by a signal while a line is being edited.
//! And those signals.

use std::io::Write;

use crate::exit::Exit;

/// The modes to give back.
pub struct Modes {
    #[cfg(unix)]
    before: Option<rustix::termios::Termios>,
}

impl Modes {
    /// Notes the modes that hold now.
    pub fn keep() -> Modes {
        Modes {
            #[cfg(unix)]
            before: rustix::termios::tcgetattr(std::io::stdin()).ok(),
        }
    }

    /// Leaves the line that is being edited: what follows stands below it, and a paste is ordinary input again.
    pub fn leave_line(&self) {
        let mut out = std::io::stdout();
        // A terminal that is gone needs nothing.
        let _ = out.write_all(b"\x1b[?2004l\r\n").and_then(|()| out.flush());
    }

    /// Gives the modes back.
    pub fn restore(&self) {
        #[cfg(unix)]
        if let Some(before) = &self.before {
            let _ = rustix::termios::tcsetattr(std::io::stdin(), rustix::termios::OptionalActions::Drain, before);
        }
    }
}

impl Drop for Modes {
    fn drop(&mut self) {
        self.restore();
    }
}

/// Signals that end a session: the terminal is gone, or somebody wants the process to end.
pub struct Signals {
    #[cfg(unix)]
    ends: Option<[tokio::signal::unix::Signal; 2]>,
}

impl Signals {
    /// Listens from now on.
    pub fn listen() -> Signals {
        Signals {
            #[cfg(unix)]
            ends: {
                use tokio::signal::unix::{SignalKind, signal};
                signal(SignalKind::terminate()).and_then(|term| Ok([term, signal(SignalKind::hangup())?])).ok()
            },
        }
    }

    /// Waits for one, and gives the exit that it asks for. May be dropped and called again.
    pub async fn next(&mut self) -> Exit {
        #[cfg(unix)]
        if let Some([term, hangup]) = &mut self.ends {
            tokio::select! {
                _ = term.recv() => {}
                _ = hangup.recv() => {}
            }
            return Exit::Interrupted;
        }
        std::future::pending().await
    }
}
