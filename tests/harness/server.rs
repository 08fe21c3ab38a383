//! The server of a world: its directory, its settings, its process; started, killed and started again on the same port.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};

use rustix::process::Signal;

use crate::process::{self, kill_child, until};
use crate::{Build, Output};

/// A chat-server with everything under one directory.
pub struct Server {
    dir: PathBuf,
    port: u16,
    fingerprint: String,
    child: Option<Child>,
    build: Build,
}

/// Settings of every world: no rate limits and no disk reserve, so that a test meets only the rule it is about.
const SETTINGS: &[(&str, &str, &str)] = &[
    ("limits", "messages_per_second", "0"),
    ("limits", "message_burst", "0"),
    ("limits", "broadcasts_per_minute", "0"),
    ("limits", "password_logins_per_minute_per_source", "0"),
    ("limits", "new_accounts_per_hour_per_source", "0"),
    ("limits", "unknown_recipients_per_hour", "0"),
    ("storage", "reserve", "\"0\""),
];

impl Server {
    /// Initialise under `dir` and start, with these settings (table, key, value in TOML) besides the usual ones.
    pub fn start(dir: PathBuf, settings: &[(&str, &str, &str)]) -> Server {
        Server::start_of(Build::Tested, dir, settings)
    }

    /// As [`Server::start`], by the programs of this build.
    pub fn start_of(build: Build, dir: PathBuf, settings: &[(&str, &str, &str)]) -> Server {
        let mut server = Server::made(build, dir);
        server.set(settings);
        server.up();
        server
    }

    /// As [`Server::start`], with the shipped classic profile; the settings win over it.
    pub fn classic(dir: PathBuf, settings: &[(&str, &str, &str)]) -> Server {
        let mut server = Server::made(Build::Tested, dir);
        let drop_ins = server.dir.join("chat-server.d");
        fs::create_dir(&drop_ins).expect("a fresh directory");
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/config/classic.toml");
        fs::copy(shipped, drop_ins.join("classic.toml")).expect("the classic profile is shipped");
        let own = settings.iter().fold(String::new(), |text, (table, key, value)| set_key(&text, table, key, value));
        fs::write(drop_ins.join("test.toml"), own).expect("a fresh file");
        server.up();
        server
    }

    /// Initialised, with the settings of every world, not started.
    fn made(build: Build, dir: PathBuf) -> Server {
        let mut server = Server { dir, port: free_port(), fingerprint: String::new(), child: None, build };
        server.ctl(&["init", "--self-signed"]).ok();
        server.fingerprint = server.ctl(&["cert", "fingerprint"]).ok().stdout.trim().to_owned();
        assert!(server.fingerprint.starts_with("sha256:"), "fingerprint: {}", server.fingerprint);
        server.set(SETTINGS);
        server
    }

    /// What lies in `dir` already, on this port; not started.
    pub fn found(dir: PathBuf, port: u16) -> Server {
        let mut server = Server { dir, port, fingerprint: String::new(), child: None, build: Build::Tested };
        server.fingerprint = server.ctl(&["cert", "fingerprint"]).ok().stdout.trim().to_owned();
        server
    }

    /// Of this build from its next start on.
    pub fn of(&mut self, build: &Build) {
        self.build = build.clone();
    }

    /// Write settings into the configuration; they count from the next start.
    pub fn set(&self, settings: &[(&str, &str, &str)]) {
        let path = self.dir.join("chat-server.toml");
        let mut text = fs::read_to_string(&path).expect("init wrote the configuration");
        for (table, key, value) in settings {
            text = set_key(&text, table, key, value);
        }
        fs::write(&path, text).expect("the configuration can be written");
    }

    /// Run a subcommand of chat-server on this directory.
    pub fn ctl(&self, args: &[&str]) -> Output {
        let mut run = self.command(args);
        let output = run.output().expect("chat-server can be run");
        Output::by(&self.build, format!("chat-server --dir {} {}", self.dir.display(), args.join(" ")), &output)
    }

    /// As [`Server::ctl`], with this on stdin.
    pub fn pipe(&self, args: &[&str], input: &[u8]) -> Output {
        let mut run = self.command(args);
        run.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = run.spawn().expect("chat-server can be run");
        let mut stdin = child.stdin.take().expect("stdin is piped");
        // it may refuse before it has read everything
        let _ = stdin.write_all(input);
        drop(stdin);
        let output = child.wait_with_output().expect("chat-server ends");
        Output::by(&self.build, format!("chat-server --dir {} {}", self.dir.display(), args.join(" ")), &output)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut run = self.build.command("chat-server");
        run.arg("--dir").arg(&self.dir).args(args);
        run
    }

    /// Start the process and wait until it listens.
    pub fn up(&mut self) {
        if let Err(status) = self.launch(&[]) {
            panic!("chat-server ended at start: {status}\n{}", process::tail(&self.log(), 40));
        }
    }

    /// As [`Server::up`], run by another program (see [`process::wrapped`]) and allowed to end before it listens.
    pub fn launch(&mut self, wrap: &[String]) -> Result<(), ExitStatus> {
        let listen = self.dir.join("run/listen");
        let _ = fs::remove_file(&listen);
        let address = self.address().to_string();
        let log = File::options().create(true).append(true).open(self.log()).expect("a log file");
        let mut child = process::wrapped(wrap, self.command(&["run", "--listen", &address]))
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("chat-server can be started");
        let ended = until("the server listens", || match child.try_wait() {
            Ok(Some(status)) => Some(Err(status)),
            _ => fs::read_to_string(&listen).ok().filter(|text| text.contains(&address)).map(|_| Ok(())),
        });
        self.child = ended.is_ok().then_some(child);
        ended
    }

    /// How it ended, once it has by itself or by something that a test did not do through here.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.as_mut().and_then(|child| child.try_wait().ok().flatten())
    }

    /// kill -9.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            kill_child(&mut child);
        }
    }

    /// SIGTERM, and wait for the end; its exit code.
    pub fn stop(&mut self) -> Option<i32> {
        let mut child = self.child.take()?;
        process::signal(child.id(), Signal::TERM);
        let status = until("the server drains and ends", || child.try_wait().ok().flatten());
        status.code()
    }

    /// Process id while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// What `--trust` wants.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where its output goes.
    pub fn log(&self) -> PathBuf {
        self.dir.with_extension("log")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that nobody uses now, and that nobody gets before this process ends: not by asking the system for any, as it lies below
/// those, and not by asking here, as its name is taken.
pub fn free_port() -> u16 {
    static TAKEN: Mutex<Vec<UnixListener>> = Mutex::new(Vec::new());
    let top = lowest_given_by_the_system().clamp(20_000, 60_000);
    let ports = top / 2..top;
    let first = std::process::id() as usize * 7 % ports.len();
    for port in ports.clone().cycle().skip(first).take(ports.len()) {
        // names like this one end with their process, and are the network's, as ports are
        let name = std::os::unix::net::SocketAddr::from_abstract_name(format!("chat-tests-port-{port}"));
        let Ok(taken) = UnixListener::bind_addr(&name.expect("a short name")) else { continue };
        if TcpListener::bind(("127.0.0.1", port)).is_ok() && UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            TAKEN.lock().unwrap_or_else(PoisonError::into_inner).push(taken);
            return port;
        }
    }
    panic!("no port of {ports:?} is free");
}

fn lowest_given_by_the_system() -> u16 {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    range.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(32_768)
}

/// The configuration with `key` of `[table]` set: replaced where it stands, else added below the table's head.
fn set_key(text: &str, table: &str, key: &str, value: &str) -> String {
    let head = format!("[{table}]");
    let line = format!("{key} = {value}");
    let mut out: Vec<String> = Vec::new();
    let (mut inside, mut found, mut done) = (false, false, false);
    for old in text.lines() {
        let bare = old.trim();
        if bare.starts_with('[') {
            inside = bare.starts_with(&head);
        }
        let names_it = bare.split('=').next().is_some_and(|name| name.trim() == key);
        if inside && names_it && bare.contains('=') {
            out.push(line.clone());
            done = true;
        } else {
            out.push(old.to_owned());
        }
        found |= inside;
    }
    if !done && found {
        let at = out.iter().position(|l| l.trim().starts_with(&head)).map_or(out.len(), |index| index + 1);
        out.insert(at, line);
    } else if !done {
        out.push(format!("\n{head}\n{line}"));
    }
    out.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::{free_port, lowest_given_by_the_system, set_key};

    #[test]
    fn no_port_is_given_twice() {
        let ports: std::collections::BTreeSet<u16> = (0..50).map(|_| free_port()).collect();
        assert_eq!(ports.len(), 50);
        assert!(ports.iter().all(|port| *port < lowest_given_by_the_system()), "{ports:?}");
    }

    #[test]
    fn keys_are_replaced_added_and_put_into_new_tables() {
        let text = "a = 1\n[auth] # who\nx = 2\n[b]\nx = 3\n";
        assert_eq!(set_key(text, "auth", "x", "9"), "a = 1\n[auth] # who\nx = 9\n[b]\nx = 3\n");
        assert_eq!(set_key(text, "auth", "y", "9"), "a = 1\n[auth] # who\ny = 9\nx = 2\n[b]\nx = 3\n");
        assert!(set_key(text, "new", "y", "9").ends_with("\n[new]\ny = 9\n"));
    }
}
