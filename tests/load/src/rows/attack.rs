//! What honest users feel while others attack (S5, S8, S15, S20, S21): the slowest hundredth of their deliveries with and without
//! each attack, in turns within one run, and what of theirs was lost. Bounded in number and time, on the loopback network alone.
//!
//! Latency is from the moment at which a message was due, so that one that is held up counts for all behind it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use chat_proto::frame::Frame;
use chat_proto::{limits, method, status, wire};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::leave;
use crate::Args;
use crate::client::{BODY, Event, Session, Site, name};
use crate::report::{Figure, Goal, Report};
use crate::world::World;

/// Honest users: each first one writes to its second one.
const PAIRS: usize = 50;
/// How often each writes: half of what the rate allows.
const EVERY: Duration = Duration::from_millis(200);
/// Attackers with an account, of each kind.
const ATTACKERS: usize = 20;
/// The limits as they are by default; rows measure without.
const LIMITS: &str = "[messages]\noffline_max_per_user = 10000\n[limits]\nmessages_per_second = 10\nmessage_burst = 20\n\
                      broadcasts_per_minute = 4\nunknown_recipients_per_hour = 20\n";
/// An attack is under way after this.
const ONSET: Duration = Duration::from_millis(500);

/// A way to attack.
#[derive(Clone, Copy, Debug)]
enum Attack {
    /// S20: sends without end, whatever it is told, and comes back when it is thrown out.
    Flood,
    /// S4, S5, S8: connections from many sources that say nothing or nonsense.
    Strangers,
    /// S15: logs in, sends what makes no sense, is thrown out, comes back.
    Broken,
    /// S21: asks for its whole inbox again and again and reads nothing.
    Deaf,
}

const ATTACKS: [(Attack, &str, Goal); 4] = [
    (Attack::Flood, "20 flooding senders (S20)", Goal { must: Some(2.0), aim: None, more: false }),
    (
        Attack::Strangers,
        "300 connections a second from 40 sources (S4, S5, S8)",
        Goal { must: None, aim: None, more: false },
    ),
    (Attack::Broken, "20 senders of broken frames (S15)", Goal { must: None, aim: None, more: false }),
    (Attack::Deaf, "20 that never read (S21)", Goal { must: None, aim: None, more: false }),
];

/// What honest users have sent and got.
#[derive(Debug, Default)]
struct Honest {
    sent: Cell<u64>,
    got: Cell<u64>,
    /// Milliseconds from due to delivered, since they were last taken.
    late: RefCell<Vec<f64>>,
    stop: Cell<bool>,
}

/// Each attack in turn with a calm stretch before it.
pub async fn run(args: &Args, world: &mut World, report: &mut Report) -> Result<()> {
    world.server.set("row.toml", Some(LIMITS))?;
    let who = world.fresh(2 * PAIRS + ATTACKERS)?;
    let (middle, bad) = (who.start + PAIRS, who.start + 2 * PAIRS..who.end);
    // Before its sender is an honest user with a session of his own.
    fill(world, who.start, bad.clone()).await?;
    let senders = world.sessions(who.start..middle).await?;
    let receivers = world.sessions(middle..bad.start).await?;
    let first = world.flush_us()?;
    let honest = Rc::new(Honest::default());
    let mut pairs = JoinSet::new();
    for (n, (sender, receiver)) in senders.into_iter().zip(receivers).enumerate() {
        pairs.spawn_local(write(sender, receiver, name(middle + n), Rc::clone(&honest)));
    }
    let address: SocketAddr = world.server.address().parse()?;
    let mut rows = Vec::new();
    for (attack, what, goal) in ATTACKS {
        let (mut ratios, mut slow) = (Vec::new(), Vec::new());
        for _ in 0..args.reps {
            let measured = async {
                let calm = stretch(args, &honest).await;
                let attackers = begin(attack, &world.site, bad.clone(), address);
                sleep(ONSET).await;
                let under = stretch(args, &honest).await;
                drop(attackers);
                sleep(ONSET).await;
                (calm, under)
            };
            let (calm, under) = tokio::select! {
                measured = measured => measured,
                Some(ended) = pairs.join_next() => { ended??; bail!("an honest user stopped by himself") }
            };
            ratios.push(under / calm);
            slow.push(under);
        }
        rows.push((what, goal, ratios, slow));
    }
    honest.stop.set(true);
    let mut sessions = Vec::new();
    while let Some(pair) = pairs.join_next().await {
        sessions.extend(pair??);
    }
    let flush_us = (first, world.flush_us()?);
    let lost = (honest.sent.get() - honest.got.get()) as f64;
    let figure =
        |what, unit, values, goal| Figure { row: "S", what, unit, values, goal, flush_us, note: String::new() };
    for (what, goal, ratios, slow) in rows {
        report.add(figure(format!("p99 beside {what}"), "times calm", ratios, goal));
        let goal = Goal { must: Some(250.0), aim: None, more: false };
        report.add(figure(format!("p99 beside {what}"), "ms", slow, goal));
    }
    let none = Goal { must: Some(0.0), aim: None, more: false };
    report.add(figure(format!("honest messages lost, of {}", honest.sent.get()), "messages", vec![lost], none));
    world.server.set("row.toml", None)?;
    leave(sessions, world.server.pid()?).await
}

/// An inbox of a MiB for each attacker: what the deaf ones do not read.
async fn fill(world: &World, sender: usize, bad: Range<usize>) -> Result<()> {
    let body = Bytes::from(vec![b'x'; limits::TEXT_MAX]);
    let mut sender = world.site.clone().open(sender).await?;
    for to in bad {
        for _ in 0..4 {
            sender.send(&name(to), body.clone());
            while sender.open() > 0 {
                sender.next().await?;
            }
            // Within the rate, as everybody.
            sleep(Duration::from_millis(101)).await;
        }
    }
    sender.logout().await
}

/// Watches honest users for a stretch; their p99 in milliseconds.
async fn stretch(args: &Args, honest: &Honest) -> f64 {
    honest.late.borrow_mut().clear();
    sleep(Duration::from_secs_f64(args.secs)).await;
    let mut late = honest.late.take();
    late.sort_by(f64::total_cmp);
    late.get(late.len() * 99 / 100).copied().unwrap_or(f64::INFINITY)
}

/// An honest pair: a message whenever one is due, until told to stop and everything has arrived.
async fn write(mut sender: Session, mut receiver: Session, to: String, honest: Rc<Honest>) -> Result<[Session; 2]> {
    let body = Bytes::from(vec![b'x'; BODY]);
    let mut due = Instant::now();
    let mut under_way: VecDeque<Instant> = VecDeque::new();
    loop {
        if honest.stop.get() && under_way.is_empty() && sender.open() == 0 {
            return Ok([sender, receiver]);
        }
        tokio::select! {
            () = sleep_until(due) => {
                if !honest.stop.get() {
                    sender.send(&to, body.clone());
                    sender.link.flush().await?;
                    honest.sent.set(honest.sent.get() + 1);
                    under_way.push_back(due);
                }
                due += EVERY;
            }
            event = sender.next() => { event?; }
            event = receiver.next() => {
                if let Event::Delivered(_) = event? {
                    let was_due = under_way.pop_front().context("a message that nobody sent")?;
                    honest.late.borrow_mut().push(was_due.elapsed().as_secs_f64() * 1e3);
                    honest.got.set(honest.got.get() + 1);
                }
            }
        }
    }
}

/// Begins an attack; it ends when what is answered is dropped.
fn begin(attack: Attack, site: &Site, bad: Range<usize>, address: SocketAddr) -> JoinSet<()> {
    let mut attackers = JoinSet::new();
    if let Attack::Strangers = attack {
        for source in 0..40 {
            attackers.spawn_local(strangers(source, address));
        }
        return attackers;
    }
    for n in bad {
        let site = site.clone();
        attackers.spawn_local(async move {
            // Thrown out, an attacker comes back; the server may also have no place for it just now.
            loop {
                if let Ok(session) = site.clone().open(n).await {
                    let _ = match attack {
                        Attack::Flood => flood(session).await,
                        Attack::Broken => broken(session).await,
                        _ => deaf(session).await,
                    };
                }
                sleep(Duration::from_millis(100)).await;
            }
        });
    }
    attackers
}

/// Whole windows ten times a second, whatever the server says.
async fn flood(mut session: Session) -> Result<()> {
    let body = Bytes::from(vec![b'x'; BODY]);
    loop {
        for _ in 0..limits::SEND_WINDOW {
            session.send("load0", body.clone());
        }
        let pause = sleep(Duration::from_millis(100));
        tokio::pin!(pause);
        loop {
            tokio::select! {
                () = &mut pause => break,
                frame = session.link.recv_while_flushing() => {
                    if frame?.is_none_or(|frame| frame.name == status::END) {
                        return Ok(());
                    }
                }
            }
        }
    }
}

async fn broken(mut session: Session) -> Result<()> {
    session.link.queue(&Frame { name: method::SEND, tag: 0, body: Bytes::from_static(&[0xff; 64]) });
    while session.link.recv_while_flushing().await?.is_some() {}
    Ok(())
}

async fn deaf(mut session: Session) -> Result<()> {
    let from = session.start();
    for _ in 0..64 {
        session.link.queue(&Frame::new(method::FETCH, 0, &wire::Fetch { from }));
    }
    session.link.flush().await?;
    // Not read from until the attack is over.
    std::future::pending().await
}

/// Connections of one source: eight a second, held for two.
async fn strangers(source: u8, to: SocketAddr) {
    let mut held = VecDeque::new();
    loop {
        if let Ok(mut socket) = connect(source, to).await {
            let bytes: &[u8] = if held.len() % 2 == 0 { b"GET / HTTP/1.1\r\n\r\n" } else { &[0x16, 3, 1, 2, 0] };
            let _ = socket.write_all(bytes).await;
            held.push_back(socket);
        }
        if held.len() > 16 {
            held.pop_front();
        }
        sleep(Duration::from_millis(130)).await;
    }
}

async fn connect(source: u8, to: SocketAddr) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::new(127, 0, 1, source), 0).into())?;
    Ok(socket.connect(to).await?)
}
