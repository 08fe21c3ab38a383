//! Row 17: private sessions on loopback, each side's chatd on a core of its own: from the yes to the first text, texts one by one and
//! with a window of them on the way, a file beside a bare TCP stream into a file, and what a session costs that does nothing.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use crate::Args;
use crate::home::Home;
use crate::proc::{cpu, resident_kib};
use crate::report::{Figure, Goal, Report};
use crate::world::World;

/// Requests, yeses and first texts of a repetition.
const MEETINGS: usize = 20;
/// Texts that wait for their confirmation at once, each on a connection of its own to chatd, as those of so many scripts.
const SCRIPTS: usize = 48;
/// Bytes of the file.
const FILE: usize = 256 << 20;
/// Sessions that do nothing: as many as one chatd has profiles.
const IDLE: usize = 14;
/// They are looked at so long.
const LOOK: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(30);

/// alice and bob.
pub async fn run(args: &Args, world: &mut World, report: &mut Report) -> Result<()> {
    world.fresh(0)?;
    let print = world.server.run(&["cert", "fingerprint"])?;
    let server = ["--server", world.server.address(), "--trust", &print];
    let alice_home = Home::start(world, "alice-p2p")?;
    let bob_home = Home::start_on(world, "bob-p2p", Some(args.server_core))?;
    let tag = std::process::id();
    let (a, b) = (format!("alice{tag}p"), format!("bob{tag}p"));
    alice_home.register(&a, &server)?;
    bob_home.register(&b, &server)?;
    let (mut alice, mut bob) = (Talker::new(&alice_home, "default")?, Talker::new(&bob_home, "default")?);
    let flush = world.flush_us()?;
    let figure = |what: &str, unit, values, goal, note: &str| Figure {
        row: "17",
        what: format!("private session: {what}"),
        unit,
        values,
        goal,
        flush_us: (flush, flush),
        note: note.into(),
    };

    meet(&mut alice, &a, &mut bob, &b)?;
    // First, while nothing that was freed hides what a session takes.
    idle(args, world, (&alice_home, &mut alice, &a), &server, figure, report).await?;
    alice.call("stopprivate", json!({"timeout_ms": 10_000}))?;
    until("the session is over", || Ok(bob.session(&a)?.is_none()))?;
    meet(&mut alice, &a, &mut bob, &b)?;

    let mut first = Vec::new();
    for _ in 0..args.reps {
        let mut times = Vec::new();
        for _ in 0..MEETINGS {
            alice.call("stopprivate", json!({"user": b, "timeout_ms": 10_000}))?;
            until("the session is over", || Ok(bob.session(&a)?.is_none()))?;
            times.push(meet(&mut alice, &a, &mut bob, &b)?);
        }
        times.sort_by(f64::total_cmp);
        first.push(times[MEETINGS / 2]);
    }
    let goal = Goal { must: Some(100.0), aim: Some(20.0), more: false };
    let note = format!("p50 of {MEETINGS}; the text waits for two flushes: queued, kept by the peer");
    report.add(figure("yes to first text", "ms", first, goal, &note));

    let seconds = Duration::from_secs_f64(args.secs);
    let scripts = |count| (0..count).map(|_| Talker::new(&alice_home, "default")).collect::<Result<Vec<_>>>();
    let (mut few, mut all) = (scripts(1)?, scripts(SCRIPTS)?);
    let one = (0..args.reps).map(|_| texts(&mut few, &b, seconds)).collect::<Result<_>>()?;
    let more = Goal { more: true, ..Goal::default() };
    report.add(figure(
        "texts one by one",
        "/s",
        one,
        more,
        "64 bytes, each kept by the peer before the next is queued",
    ));
    let many = (0..args.reps).map(|_| texts(&mut all, &b, seconds)).collect::<Result<_>>()?;
    report.add(figure("texts, 48 on the way", "/s", many, more, "64 bytes, queued and kept durably on both sides"));

    let source = world.dir().join("file");
    fs::write(&source, vec![0x5a; FILE])?;
    let (mut sent, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..args.reps {
        sent.push(file(&mut alice, &b, &mut bob, &bob_home, &source)?);
        bare.push(stream(&source, &world.dir().join("copy"))?);
    }
    let goal = Goal { must: Some(200.0), aim: None, more: true };
    report.add(figure(
        "a file of 256 MiB",
        "MB/s",
        sent,
        goal,
        "offer to done: read, sealed, sent, hashed, written, flushed",
    ));
    report.add(figure("the same by a bare TCP stream", "MB/s", bare, more, "neither sealed nor hashed; flushed"));
    Ok(())
}

/// What sessions cost that do nothing: those of the first side's chatd with the profiles of another one.
async fn idle(
    args: &Args,
    world: &World,
    (home, alice, a): (&Home<'_>, &mut Talker, &str),
    server: &[&str],
    figure: impl Fn(&str, &'static str, Vec<f64>, Goal, &str) -> Figure + Copy,
    report: &mut Report,
) -> Result<()> {
    let crowd = Home::start_on(world, "crowd-p2p", Some(args.server_core))?;
    let mut names = Vec::new();
    for n in 0..IDLE {
        let (profile, name) = (format!("p{n}"), format!("crowd{}x{n}", std::process::id()));
        let mut with_profile = vec!["--profile", &profile];
        with_profile.extend_from_slice(server);
        crowd.register(&name, &with_profile)?;
        names.push((profile, name));
    }
    let pid = home.pid()?;
    let before = resident_kib(pid)?;
    for (profile, name) in &names {
        meet(alice, a, &mut Talker::new(&crowd, profile)?, name)?;
    }
    let each = (resident_kib(pid)? - before) / IDLE as f64;
    report.add(figure(
        "memory of an open one",
        "KiB",
        vec![each],
        Goal::default(),
        "resident, of chatd; one of 14 beside a first",
    ));
    let (used, began) = (cpu(pid)?, Instant::now());
    tokio::time::sleep(LOOK).await;
    let share = 100.0 * (cpu(pid)? - used) / began.elapsed().as_secs_f64();
    report.add(figure("15 that do nothing", "% of a core", vec![share], Goal::default(), "keep-alives included, 10 s"));
    Ok(())
}

/// From bob's yes to his first text, which alice has: milliseconds.
fn meet(alice: &mut Talker, a: &str, bob: &mut Talker, b: &str) -> Result<f64> {
    alice.call("startprivate", json!({"user": b, "timeout_ms": 10_000}))?;
    until("the request came", || {
        let open = bob.call("requests", json!({}))?;
        Ok(open["items"].as_array().is_some_and(|items| items.iter().any(|item| item["peer"] == a)))
    })?;
    let began = Instant::now();
    bob.call("accept", json!({"user": a, "timeout_ms": 30_000}))?;
    let text = bob.text(a);
    let sent = bob.call("private", text)?;
    ensure!(sent["state"] == "delivered", "the first text: {sent}");
    let took = began.elapsed().as_secs_f64() * 1e3;
    until("both sides have it", || Ok(alice.session(b)?.is_some_and(|session| session["state"] == "open")))?;
    Ok(took)
}

/// Delivered texts a second of so many scripts, each with one on the way.
fn texts(scripts: &mut [Talker], b: &str, time: Duration) -> Result<f64> {
    let (began, mut done) = (Instant::now(), 0_u64);
    while began.elapsed() < time {
        let mut open = Vec::new();
        for script in &mut *scripts {
            let text = script.text(b);
            open.push(script.ask("private", text)?);
        }
        for (script, number) in scripts.iter_mut().zip(open) {
            let sent = script.answer(number)?;
            ensure!(sent["state"] == "delivered", "a text: {sent}");
            done += 1;
        }
    }
    Ok(done as f64 / began.elapsed().as_secs_f64())
}

/// Megabytes a second of a file, from its offer until it is there whole.
fn file(alice: &mut Talker, b: &str, bob: &mut Talker, home: &Home<'_>, source: &Path) -> Result<f64> {
    let began = Instant::now();
    let offered = alice.call("file_send", json!({"user": b, "path": source, "timeout_ms": 60_000}))?;
    let id = offered["id"].as_str().context("an offer without an id")?.to_owned();
    let state = |bob: &mut Talker| -> Result<Option<Value>> {
        let files = bob.call("file_list", json!({}))?;
        Ok(files["items"].as_array().and_then(|all| all.iter().find(|file| file["id"] == id.as_str())).cloned())
    };
    until("the offer came", || Ok(state(bob)?.is_some()))?;
    home.ctl(&["file", "accept", &id, "--conflict", "overwrite"])?;
    until("the file is there", || match state(bob)? {
        Some(file) if file["state"] == "done" => Ok(true),
        Some(file) if file["state"] == "failed" => bail!("the file: {file}"),
        _ => Ok(false),
    })?;
    Ok(FILE as f64 / 1e6 / began.elapsed().as_secs_f64())
}

/// Megabytes a second of the same bytes through TCP on loopback into a file, flushed.
fn stream(source: &Path, target: &Path) -> Result<f64> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let source = source.to_owned();
    let began = Instant::now();
    let sender = std::thread::spawn(move || -> std::io::Result<u64> {
        let mut stream = TcpStream::connect(address)?;
        std::io::copy(&mut File::open(source)?, &mut stream)
    });
    let (mut stream, mut file) = (listener.accept()?.0, File::create(target)?);
    let mut buffer = vec![0; 256 << 10];
    loop {
        match stream.read(&mut buffer)? {
            0 => break,
            count => file.write_all(&buffer[..count])?,
        }
    }
    file.sync_all()?;
    let took = began.elapsed().as_secs_f64();
    let sent = sender.join().ok().context("the sender ended badly")??;
    ensure!(sent == FILE as u64, "only {sent} bytes came");
    Ok(FILE as f64 / 1e6 / took)
}

fn until(what: &str, mut fact: impl FnMut() -> Result<bool>) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    while !fact()? {
        ensure!(Instant::now() < end, "waited in vain: {what}");
        std::thread::park_timeout(Duration::from_millis(1));
    }
    Ok(())
}

/// A conversation with a chatd, for one of its profiles: faster than a program for each call.
struct Talker {
    profile: String,
    /// Random, for the keys of its texts.
    name: String,
    writer: UnixStream,
    reader: BufReader<UnixStream>,
    last: u64,
    early: std::collections::HashMap<u64, Value>,
}

impl Talker {
    fn new(home: &Home<'_>, profile: &str) -> Result<Talker> {
        let writer = UnixStream::connect(home.dir().join("run/sock"))?;
        writer.set_read_timeout(Some(PATIENCE))?;
        let reader = BufReader::new(writer.try_clone()?);
        let early = std::collections::HashMap::new();
        let mut name = [0; 8];
        getrandom::fill(&mut name)?;
        let name = chat_proto::id::hex(&name);
        let mut talker = Talker { profile: profile.into(), name, writer, reader, last: 0, early };
        talker.call("hello", json!({"versions": {"min": 1, "max": 1}, "build": env!("CARGO_PKG_VERSION")}))?;
        Ok(talker)
    }

    fn text(&mut self, to: &str) -> Value {
        let key = format!("{}-{}", self.name, self.last);
        let text = format!("{:64}", self.last);
        json!({"user": to, "text": text, "key": key, "wait": "delivered", "timeout_ms": 30_000})
    }

    fn session(&mut self, peer: &str) -> Result<Option<Value>> {
        let all = self.call("sessions", json!({}))?;
        Ok(all["items"].as_array().and_then(|items| items.iter().find(|item| item["peer"] == peer)).cloned())
    }

    fn ask(&mut self, method: &str, mut params: Value) -> Result<u64> {
        self.last += 1;
        if method != "hello" {
            params["profile"] = json!(self.profile);
        }
        let call = json!({"jsonrpc": "2.0", "id": self.last, "method": method, "params": params});
        writeln!(self.writer, "{call}")?;
        Ok(self.last)
    }

    fn answer(&mut self, number: u64) -> Result<Value> {
        loop {
            if let Some(answer) = self.early.remove(&number) {
                return match answer.get("result") {
                    Some(result) => Ok(result.clone()),
                    None => bail!("chatd refused: {}", answer["error"]),
                };
            }
            let mut line = String::new();
            ensure!(self.reader.read_line(&mut line)? > 0, "chatd has ended");
            let told: Value = serde_json::from_str(&line)?;
            if let Some(id) = told["id"].as_u64() {
                self.early.insert(id, told);
            }
        }
    }

    fn call(&mut self, method: &str, params: Value) -> Result<Value> {
        let number = self.ask(method, params)?;
        self.answer(number)
    }
}
