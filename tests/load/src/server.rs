//! The chat-server under test: its directory, its settings, its process on its own core.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use chat_link::Target;

/// No limits of the operator's, so that the machine is the limit; durability has no switch.
const SETTINGS: &str = r#"
[messages]
offline_max_per_user = 1000000000
[limits]
messages_per_second = 0
private_requests_per_minute = 0
message_burst = 0
broadcasts_per_minute = 0
password_logins_per_minute_per_source = 0
new_accounts_per_hour_per_source = 0
unknown_recipients_per_hour = 0
connections = 0
[storage]
reserve = "0"
[log]
level = "warn"
"#;

/// A chat-server.
pub struct Server {
    bin: PathBuf,
    dir: PathBuf,
    core: usize,
    child: Option<Child>,
    address: String,
}

impl Server {
    /// The server of `dir`, initialised when it is new; not started.
    pub fn new(bin: PathBuf, dir: PathBuf, core: usize) -> Result<Server> {
        let server = Server { bin, dir, core, child: None, address: String::new() };
        if !server.dir.join("chat-server.toml").exists() {
            server.run(&["init", "--self-signed"])?;
            let settings = server.dir.join("chat-server.d");
            fs::create_dir_all(&settings)?;
            fs::write(settings.join("load.toml"), SETTINGS)?;
        }
        Ok(server)
    }

    /// Settings of one row besides the usual ones, or no more; they count from the next start.
    pub fn set(&self, file: &str, settings: Option<&str>) -> Result<()> {
        let path = self.dir.join("chat-server.d").join(file);
        match settings {
            Some(settings) => Ok(fs::write(path, settings)?),
            None => Ok(fs::remove_file(path)?),
        }
    }

    /// Runs a verb to its end; what it printed.
    pub fn run(&self, verb: &[&str]) -> Result<String> {
        let done = Command::new(&self.bin).arg("--dir").arg(&self.dir).args(verb).output();
        let done = done.with_context(|| format!("cannot run {}", self.bin.display()))?;
        let said = String::from_utf8_lossy(&done.stderr);
        ensure!(done.status.success(), "chat-server {} failed: {}", verb.join(" "), said.trim());
        Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned())
    }

    /// Starts it and waits until it listens.
    pub fn up(&mut self) -> Result<()> {
        let listen = self.dir.join("run/listen");
        let _ = fs::remove_file(&listen);
        let log = fs::File::options().create(true).append(true).open(self.dir.join("server.log"))?;
        let mut child = Command::new("taskset")
            .args(["--cpu-list", &self.core.to_string()])
            .arg(&self.bin)
            .arg("--dir")
            .arg(&self.dir)
            .args(["run", "--listen", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot run taskset (package util-linux)")?;
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            let text = fs::read_to_string(&listen).unwrap_or_default();
            if let Some(address) = text.lines().next().filter(|line| line.contains(':')) {
                self.address = address.trim().to_owned();
                self.child = Some(child);
                return Ok(());
            }
            if let Some(status) = child.try_wait()? {
                bail!("chat-server ended at start ({status}); see {}/server.log", self.dir.display());
            }
            ensure!(Instant::now() < end, "chat-server does not listen after 30 s");
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// Its process. `taskset` becomes the server, so the number is the same.
    pub fn pid(&self) -> Result<u32> {
        self.child.as_ref().map(Child::id).context("the server does not run")
    }

    /// Where it listens.
    pub fn target(&self) -> Result<Target> {
        Target::parse(&self.address, 0).with_context(|| format!("odd address {:?}", self.address))
    }

    /// Where it listens, as written.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// kill -9.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGTERM, and waits for the end.
    pub fn stop(&mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        let end = Instant::now() + Duration::from_secs(60);
        while child.try_wait()?.is_none() {
            if Instant::now() > end {
                let _ = child.kill();
                let _ = child.wait();
                bail!("chat-server did not end within a minute of SIGTERM");
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
