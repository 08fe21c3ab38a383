//! A running `chatctl shell`: on a pipe, as a script drives it, or on a terminal of its own, as a person sees it. What it shows is
//! waited for, never slept for.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::num::NonZero;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::Home;
use crate::process::{PATIENCE, binary, kill_child, until};
use crate::tidy::tidy;

/// What the shell answers to `help quit`: a line that stands behind everything that came before.
const BARRIER: &str = "leave and stay logged in";

/// A shell whose stdin and stdout are pipes.
pub struct Piped {
    who: String,
    child: Child,
    input: Option<ChildStdin>,
    coming: Receiver<String>,
    lines: Vec<String>,
    /// Those that no test has waited for yet.
    waiting: VecDeque<String>,
}

impl Piped {
    /// Starts it in this home.
    pub fn start(home: &Home, args: &[&str]) -> Piped {
        let mut all = vec!["shell"];
        all.extend_from_slice(args);
        let mut run = home.command(&all);
        let mut child = run
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("chatctl can be started");
        let input = child.stdin.take();
        let stdout = child.stdout.take().expect("stdout is piped");
        let (sender, coming) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
                if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    break;
                }
            }
        });
        Piped { who: home.user().to_owned(), child, input, coming, lines: Vec::new(), waiting: VecDeque::new() }
    }

    /// Types a line.
    pub fn types(&mut self, line: &str) {
        self.bytes(format!("{line}\n").as_bytes());
    }

    /// Types these bytes; a shell that has ended takes none.
    pub fn bytes(&mut self, bytes: &[u8]) {
        if let Some(input) = &mut self.input {
            // The test sees by what is not shown that it has ended.
            let _ = input.write_all(bytes).and_then(|()| input.flush());
        }
    }

    /// Waits for a line that is exactly this; what came before is passed over.
    #[track_caller]
    pub fn shows(&mut self, line: &str) {
        self.find(line, |shown| shown == line);
    }

    /// Waits for a line that holds this.
    #[track_caller]
    pub fn says(&mut self, part: &str) -> String {
        self.find(part, |shown| shown.contains(part))
    }

    #[track_caller]
    fn find(&mut self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        loop {
            let line = self.next(what);
            if wanted(&line) {
                return line;
            }
        }
    }

    #[track_caller]
    fn next(&mut self, what: &str) -> String {
        if let Some(line) = self.waiting.pop_front() {
            return line;
        }
        match self.coming.recv_timeout(PATIENCE) {
            Ok(line) => {
                tidy(&self.who, &line);
                self.lines.push(line.clone());
                line
            }
            Err(_) => panic!("the shell of {} did not show {what:?}; it showed {:#?}", self.who, self.lines),
        }
    }

    /// Types a line; what it answers until it is done. That somebody came or went meanwhile is no answer, and can be waited for.
    #[track_caller]
    pub fn answers(&mut self, line: &str) -> Vec<String> {
        self.types(line);
        self.types("help quit");
        let (mut answers, mut notices) = (Vec::new(), VecDeque::new());
        loop {
            match self.next(BARRIER) {
                line if line.contains(BARRIER) => break,
                line if line.ends_with(" logged in") || line.ends_with(" logged out") => notices.push_back(line),
                line => answers.push(line),
            }
        }
        self.waiting = notices;
        answers
    }

    /// Everything that was shown up to now and everything that was typed is done.
    #[track_caller]
    pub fn all(&mut self) -> &[String] {
        self.answers("");
        &self.lines
    }

    /// Ends the input and waits for the end; everything that was shown, and the exit code.
    #[track_caller]
    pub fn ends(mut self) -> (Vec<String>, i32) {
        self.input = None;
        self.ended()
    }

    /// Waits for its own end; everything that was shown, and the exit code.
    #[track_caller]
    pub fn ended(mut self) -> (Vec<String>, i32) {
        let status = until("the shell ends", || self.child.try_wait().ok().flatten());
        while let Ok(line) = self.coming.recv_timeout(PATIENCE) {
            self.lines.push(line);
        }
        (std::mem::take(&mut self.lines), status.code().unwrap_or(-1))
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        kill_child(&mut self.child);
    }
}

/// A shell on a terminal of its own, whose screen is drawn here as a terminal would.
pub struct Seated {
    child: Child,
    terminal: File,
    coming: Receiver<Vec<u8>>,
    screen: vt100::Parser,
    /// Every byte that the terminal got.
    raw: Vec<u8>,
}

/// Size of the screen.
const SIZE: (u16, u16) = (40, 100);

impl Seated {
    /// Starts a shell in this home; `TERM` and further variables.
    pub fn start(home: &Home, args: &[&str], variables: &[(&str, &str)]) -> Seated {
        let all: Vec<&str> = ["shell"].iter().chain(args).copied().collect();
        Seated::run(home, &all, variables)
    }

    /// Starts chatctl with these arguments in this home, on a terminal of its own.
    pub fn run(home: &Home, args: &[&str], variables: &[(&str, &str)]) -> Seated {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&master).and_then(|()| unlockpt(&master)).expect("our terminal");
        resize(&master, SIZE);
        let name = ptsname(&master, Vec::new()).expect("a name").into_string().expect("ASCII");
        let slave = File::options().read(true).write(true).open(name).expect("the other end");
        let handle = || Stdio::from(slave.try_clone().expect("one more handle"));
        // setsid gives chatctl the terminal as its own, so that /dev/tty is it
        let mut run = Command::new("/usr/bin/setsid");
        run.args(["--ctty", "--wait"]).arg(binary("chatctl")).arg("--no-autostart").args(args);
        run.env_clear().env("CHAT_HOME", home.dir()).env("HOME", home.dir()).env("TZ", "UTC").env("TERM", "xterm");
        run.envs(variables.iter().copied());
        let child = run.stdin(handle()).stdout(handle()).stderr(handle()).spawn().expect("chatctl can be started");
        drop((slave, run));
        let terminal = File::from(master);
        let mut reader = terminal.try_clone().expect("a second handle");
        let (sender, coming) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // the end of a terminal without another side reads as an error
            while let Ok(count) = reader.read(&mut bytes) {
                if count == 0 || sender.send(bytes[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        Seated { child, terminal, coming, screen: screen(), raw: Vec::new() }
    }

    /// Types these keys.
    pub fn keys(&mut self, keys: &str) {
        // a shell that has ended takes none; the test sees it by what is not shown
        let _ = self.terminal.write_all(keys.as_bytes());
    }

    /// Types a line and Enter.
    pub fn types(&mut self, line: &str) {
        self.keys(&format!("{line}\r"));
    }

    /// Waits until some row of the screen is exactly this, blanks at its end aside.
    #[track_caller]
    pub fn shows(&mut self, row: &str) {
        self.waits(row, |rows| rows.iter().any(|shown| shown == row));
    }

    /// Waits until the last row that is not blank is exactly this.
    #[track_caller]
    pub fn ends_with(&mut self, row: &str) {
        self.waits(row, |rows| rows.iter().rfind(|shown| !shown.is_empty()).is_some_and(|shown| shown == row));
    }

    /// Waits until a question whose answer is not echoed was asked; nobody types as fast as a test.
    #[track_caller]
    pub fn asks_secretly(&mut self, question: &str) {
        self.ends_with(question);
        let echoes = || tcgetattr(&self.terminal).is_ok_and(|modes| modes.local_modes.contains(LocalModes::ECHO));
        until("the echo is off", || (!echoes()).then_some(()));
    }

    #[track_caller]
    fn waits(&mut self, what: &str, wanted: impl Fn(&[String]) -> bool) {
        let end = Instant::now() + PATIENCE;
        loop {
            let rows = self.rows();
            if wanted(&rows) {
                return;
            }
            match self.coming.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.take(&bytes),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("the terminal did not show {what:?}; it showed {:#?}", self.rows())
                }
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.screen.process(bytes);
        self.raw.extend_from_slice(bytes);
    }

    /// The rows of the screen as they are now.
    pub fn rows(&self) -> Vec<String> {
        let width = self.screen.screen().size().1;
        self.screen.screen().rows(0, width.get()).map(|row| row.trim_end().to_owned()).collect()
    }

    /// Everything that the terminal got, as text.
    pub fn raw(&self) -> String {
        String::from_utf8_lossy(&self.raw).into_owned()
    }

    /// The window gets another size.
    pub fn resize(&mut self, rows: u16, columns: u16) {
        self.screen.screen_mut().set_size(size(rows), size(columns));
        resize(&self.terminal, (rows, columns));
    }

    /// The terminal's modes: does it echo, does it hand over whole lines?
    pub fn is_as_before(&self) -> bool {
        tcgetattr(&self.terminal).is_ok_and(|modes| modes.local_modes.contains(LocalModes::ECHO | LocalModes::ICANON))
    }

    /// Process id of what runs on the terminal: the one that gives it, which ends as the shell does.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end: the exit code.
    #[track_caller]
    pub fn ended(&mut self) -> i32 {
        let status = until("the shell ends", || self.child.try_wait().ok().flatten());
        while let Ok(bytes) = self.coming.recv_timeout(Duration::from_millis(50)) {
            self.take(&bytes);
        }
        tidy("the terminal", &self.raw());
        status.code().unwrap_or(-1)
    }
}

fn screen() -> vt100::Parser {
    vt100::Parser::new(size(SIZE.0), size(SIZE.1), 0)
}

fn size(cells: u16) -> NonZero<u16> {
    NonZero::new(cells).expect("a screen of a size")
}

fn resize(terminal: impl std::os::fd::AsFd, (rows, columns): (u16, u16)) {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(terminal, size).expect("a terminal has a size");
}

impl Drop for Seated {
    fn drop(&mut self) {
        kill_child(&mut self.child);
    }
}
