//! A user's home: a chatd in it, and chatctl. Used by the rows that measure more than the server.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use crate::world::World;

/// A home with a chatd and chatctl.
pub struct Home<'a> {
    bin_dir: &'a Path,
    dir: PathBuf,
    chatd: Option<Child>,
}

impl<'a> Home<'a> {
    /// A home with a chatd that takes connections, on the load's core.
    pub fn start(world: &'a World, name: &str) -> Result<Home<'a>> {
        Home::start_on(world, name, None)
    }

    /// The same on this core.
    pub fn start_on(world: &'a World, name: &str, core: Option<usize>) -> Result<Home<'a>> {
        let dir = world.dir().join(name);
        fs::create_dir_all(&dir)?;
        let log = fs::File::create(world.dir().join(format!("{name}.log")))?;
        let mut home = Home { bin_dir: &world.bin_dir, dir, chatd: None };
        let mut chatd = match core {
            // It becomes chatd, so the process is the same.
            Some(core) => {
                let mut pinned = home.command_of(Path::new("taskset"));
                pinned.arg("--cpu-list").arg(core.to_string()).arg(home.bin_dir.join("chatd"));
                pinned
            }
            None => home.command("chatd"),
        };
        chatd.arg("--foreground").arg("--home").arg(&home.dir);
        home.chatd = Some(chatd.stdout(log.try_clone()?).stderr(log).spawn().context("cannot run chatd")?);
        let socket = home.dir.join("run/sock");
        let end = Instant::now() + std::time::Duration::from_secs(20);
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            ensure!(Instant::now() < end, "chatd does not listen after 20 s; see {name}.log");
            std::thread::park_timeout(std::time::Duration::from_millis(5));
        }
        Ok(home)
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The chatd.
    pub fn pid(&self) -> Result<u32> {
        self.chatd.as_ref().map(Child::id).context("chatd has ended")
    }

    fn command(&self, program: &str) -> Command {
        self.command_of(&self.bin_dir.join(program))
    }

    fn command_of(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env("CHAT_HOME", &self.dir).env("HOME", &self.dir).stdin(Stdio::null());
        command
    }

    /// Runs a verb to its end.
    pub fn ctl(&self, args: &[&str]) -> Result<Output> {
        let done = self.command("chatctl").arg("--no-autostart").args(args).output().context("cannot run chatctl")?;
        let said = String::from_utf8_lossy(&done.stderr);
        ensure!(done.status.success(), "chatctl {} failed: {}", args.join(" "), said.trim());
        Ok(done)
    }

    /// A new account.
    pub fn register(&self, user: &str, server: &[&str]) -> Result<()> {
        let file = self.dir.join("password");
        let mut secret = [0; 12];
        getrandom::fill(&mut secret)?;
        fs::write(&file, chat_proto::id::hex(&secret))?;
        let file = file.to_string_lossy().into_owned();
        let mut args = vec!["register", user, "--password-file", &file];
        args.extend_from_slice(server);
        self.ctl(&args).map(drop)
    }

    /// kill -9.
    pub fn stop(&mut self) {
        if let Some(mut chatd) = self.chatd.take() {
            let _ = chatd.kill();
            let _ = chatd.wait();
        }
    }
}

impl Drop for Home<'_> {
    fn drop(&mut self) {
        self.stop();
    }
}
