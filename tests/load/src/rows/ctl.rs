//! Row 13: one `chatctl message` process from its start to its end, acknowledged by the server, through a chatd.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use crate::Args;
use crate::report::{Figure, Goal, Report};
use crate::world::World;

const RUNS: usize = 20;
/// Flushes that a message waits for one after the other: the sender's outbox, the server's log, the verdict in the outbox.
const FLUSHES: f64 = 3.0;

/// A home with a chatd and chatctl.
struct Home<'a> {
    bin_dir: &'a Path,
    dir: PathBuf,
    chatd: Option<Child>,
}

/// alice writes to bob, who is away.
pub async fn run(args: &Args, world: &mut World, report: &mut Report) -> Result<()> {
    world.fresh(0)?;
    let print = world.server.run(&["cert", "fingerprint"])?;
    let server = ["--server", world.server.address(), "--trust", &print];
    let mut alice = Home::start(world, "alice")?;
    let mut bob = Home::start(world, "bob")?;
    let tag = std::process::id();
    let (from, to) = (format!("alice{tag}"), format!("bob{tag}"));
    bob.register(&to, &server)?;
    alice.register(&from, &server)?;
    bob.stop();
    let send = || alice.ctl(&["message", &to, "hi"]);
    (0..5).try_for_each(|_| send().map(drop))?;
    let (mut times, mut over) = (Vec::new(), Vec::new());
    let first = world.flush_us()?;
    let mut before = first;
    for _ in 0..args.reps {
        let mut some = (0..RUNS).map(|_| timed(&send)).collect::<Result<Vec<f64>>>()?;
        let after = world.flush_us()?;
        some.sort_by(f64::total_cmp);
        times.push(some[RUNS / 2]);
        over.push(some[RUNS / 2] - FLUSHES * (before + after) / 2000.0);
        before = after;
    }
    let figure = |what: &str, values, goal| Figure {
        row: "13",
        what: format!("chatctl message: {what}"),
        unit: "ms",
        values,
        goal,
        flush_us: (first, before),
        note: format!("{RUNS} processes a repetition; it waits for three flushes: queued, accepted, verdict kept"),
    };
    report.add(figure("p50 less three flushes", over, Goal { must: Some(10.0), aim: Some(3.0), more: false }));
    report.add(figure("p50", times, Goal::default()));
    alice.stop();
    Ok(())
}

/// Milliseconds.
fn timed(send: &impl Fn() -> Result<Output>) -> Result<f64> {
    let began = Instant::now();
    send()?;
    Ok(began.elapsed().as_secs_f64() * 1e3)
}

impl<'a> Home<'a> {
    /// A home with a chatd that takes connections.
    fn start(world: &'a World, name: &str) -> Result<Home<'a>> {
        let dir = world.dir().join(name);
        fs::create_dir_all(&dir)?;
        let log = fs::File::create(world.dir().join(format!("{name}.log")))?;
        let mut home = Home { bin_dir: &world.bin_dir, dir, chatd: None };
        let mut chatd = home.command("chatd");
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

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin_dir.join(program));
        command.env("CHAT_HOME", &self.dir).env("HOME", &self.dir).stdin(Stdio::null());
        command
    }

    fn ctl(&self, args: &[&str]) -> Result<Output> {
        let done = self.command("chatctl").arg("--no-autostart").args(args).output().context("cannot run chatctl")?;
        let said = String::from_utf8_lossy(&done.stderr);
        ensure!(done.status.success(), "chatctl {} failed: {}", args.join(" "), said.trim());
        Ok(done)
    }

    fn register(&self, user: &str, server: &[&str]) -> Result<()> {
        let file = self.dir.join("password");
        let mut secret = [0; 12];
        getrandom::fill(&mut secret)?;
        fs::write(&file, chat_proto::id::hex(&secret))?;
        let file = file.to_string_lossy().into_owned();
        let mut args = vec!["register", user, "--password-file", &file];
        args.extend_from_slice(server);
        self.ctl(&args).map(drop)
    }

    fn stop(&mut self) {
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
