//! Signals while a command of the user runs (`run`): they are the command's, not ours.

#[cfg(unix)]
pub use unix::Signals;
#[cfg(windows)]
pub use windows::Signals;

#[cfg(unix)]
mod unix {
    use std::fs::File;
    use std::io;

    use rustix::process::{Pid, Signal, getpgrp, kill_process};
    use rustix::termios::tcgetpgrp;
    use tokio::process::Child;
    use tokio::signal::unix::{SignalKind, signal};
    use tokio::sync::mpsc;

    /// What came in for the command.
    pub struct Signals(mpsc::UnboundedReceiver<Signal>);

    impl Signals {
        /// Listens from now on; none of them ends us.
        pub fn listen() -> io::Result<Signals> {
            // Not bounded itself: the system keeps one of each kind.
            let (sender, receiver) = mpsc::unbounded_channel();
            for (kind, signal_) in [
                (SignalKind::interrupt(), Signal::INT),
                (SignalKind::quit(), Signal::QUIT),
                (SignalKind::terminate(), Signal::TERM),
                (SignalKind::hangup(), Signal::HUP),
                (SignalKind::user_defined1(), Signal::USR1),
                (SignalKind::user_defined2(), Signal::USR2),
            ] {
                let (mut source, sender) = (signal(kind)?, sender.clone());
                tokio::spawn(async move { while source.recv().await.is_some() && sender.send(signal_).is_ok() {} });
            }
            Ok(Signals(receiver))
        }

        /// Waits for the next one. Safe to cancel.
        pub async fn next(&mut self) -> Option<Signal> {
            self.0.recv().await
        }

        /// Passes one on.
        pub fn pass_on(signal: Signal, child: &Child) {
            let number = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
            if let Some(number) = number.filter(|_| !from_terminal(signal)) {
                // It may have ended meanwhile.
                let _ = kill_process(number, signal);
            }
        }
    }

    /// A key at the terminal reaches the command by itself, as it is in our process group.
    fn from_terminal(signal: Signal) -> bool {
        let key = [Signal::INT, Signal::QUIT].contains(&signal);
        let foreground = || File::open("/dev/tty").ok().and_then(|tty| tcgetpgrp(tty).ok());
        key && foreground() == Some(getpgrp())
    }
}

#[cfg(windows)]
mod windows {
    use std::io;

    use tokio::process::Child;
    use tokio::signal::windows::{CtrlBreak, CtrlC, ctrl_break, ctrl_c};

    /// Keys at the console.
    pub struct Signals {
        interrupt: CtrlC,
        stop: CtrlBreak,
    }

    impl Signals {
        /// Listens from now on; none of them ends us.
        pub fn listen() -> io::Result<Signals> {
            Ok(Signals { interrupt: ctrl_c()?, stop: ctrl_break()? })
        }

        /// Waits for the next one. Safe to cancel.
        pub async fn next(&mut self) -> Option<()> {
            tokio::select! {
                key = self.interrupt.recv() => key,
                key = self.stop.recv() => key,
            }
        }

        /// Nothing to do: the console tells every process that it belongs to.
        pub fn pass_on(_key: (), _child: &Child) {}
    }
}
