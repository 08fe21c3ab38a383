//! One run: hosts, users and faults from a seed, until all is quiet.

use super::client::Client;
use super::link::{Links, Side};
use super::server::Server;
use super::truth::Truth;
use super::{ACCOUNTS, Bug, Ctx, DEVICES, Event, Host, Rng, Stop, To};

/// Faults happen in this time, in milliseconds.
const STORM: u64 = 3_000;
/// A run that is not quiet after so many events never will be.
const EVENTS_MAX: usize = 100_000;

/// How a run ended.
pub struct Outcome {
    pub hash: u64,
    pub events: usize,
    pub wrong: Vec<String>,
}

struct World {
    ctx: Ctx,
    server: Server,
    clients: Vec<Client>,
    hash: u64,
}

/// Runs one seed.
pub fn run(seed: u64, bug: Bug) -> Outcome {
    let mut rng = Rng(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ 0x5eed);
    let blocks = (0..2).map(|_| (rng.below(5) as usize, rng.below(5) as usize)).collect();
    let server = Server::new(blocks);
    let clients = (0..DEVICES).map(Client::new).collect();
    let ctx = Ctx {
        now: 0,
        rng,
        bug,
        links: Links::default(),
        truth: Truth::default(),
        calm: false,
        events: Default::default(),
        counter: 0,
        armed: Vec::new(),
    };
    let mut world = World { ctx, server, clients, hash: 0xcbf2_9ce4_8422_2325 };
    world.plan();
    let events = world.go();
    let World { mut ctx, clients, hash, .. } = world;
    if events < EVENTS_MAX {
        ctx.truth.check(&clients);
    } else {
        ctx.truth.wrong("never quiet".into());
    }
    Outcome { hash, events, wrong: ctx.truth.wrong }
}

impl World {
    /// Users and faults, all from the seed.
    fn plan(&mut self) {
        let ctx = &mut self.ctx;
        ctx.at(0, Event::Boot(Host::Server));
        for dev in 0..DEVICES {
            let at = ctx.rng.below(100);
            ctx.at(at, Event::Boot(Host::Client(dev)));
        }
        let mut body = 0;
        for _ in 0..20 + ctx.rng.below(60) {
            let (at, dev) = (ctx.rng.below(STORM), ctx.rng.below(DEVICES as u64) as usize);
            // Users type in bursts; a few bursts are larger than every window.
            let count = if ctx.rng.chance(15) { 1 + ctx.rng.below(12) } else { 1 };
            for _ in 0..count {
                body += 1;
                let to = any_recipient(&mut ctx.rng);
                ctx.at(at, Event::Queue(dev, to, body));
            }
        }
        if ctx.rng.chance(12) {
            let (dev, to) = (ctx.rng.below(DEVICES as u64) as usize, To::Account(ctx.rng.below(5) as usize));
            let at = ctx.rng.below(STORM / 2);
            for n in 0..300 {
                body += 1;
                ctx.at(at + n / 20, Event::Queue(dev, to, body));
            }
            let stopped = at + ctx.rng.below(200);
            ctx.at(stopped, Event::StopInCommit(Host::Client(dev), Stop::Kill));
        }
        for _ in 0..ctx.rng.below(12) {
            let (at, dev) = (ctx.rng.below(STORM), ctx.rng.below(DEVICES as u64) as usize);
            ctx.at(at, Event::Cancel(dev));
        }
        for _ in 0..5 + ctx.rng.below(30) {
            self.plan_fault();
        }
        let ctx = &mut self.ctx;
        if ctx.rng.chance(20) {
            plan_restore(ctx, Host::Server);
        }
        if ctx.rng.chance(15) {
            let dev = ctx.rng.below(DEVICES as u64) as usize;
            plan_restore(ctx, Host::Client(dev));
        }
        ctx.at(STORM, Event::Calm);
    }

    fn plan_fault(&mut self) {
        let ctx = &mut self.ctx;
        let at = ctx.rng.below(STORM);
        let dev = ctx.rng.below(DEVICES as u64) as usize;
        let host = if ctx.rng.chance(40) { Host::Server } else { Host::Client(dev) };
        let stop = if ctx.rng.chance(50) { Stop::Kill } else { Stop::PowerCut };
        match ctx.rng.below(10) {
            0..4 => ctx.at(at, Event::Cut(dev)),
            4 => ctx.at(at, Event::Stop(host, stop)),
            5..7 => ctx.at(at, Event::StopInCommit(host, stop)),
            7..9 => {
                // A kill in a commit, then the power goes while what was visible may not be durable.
                ctx.at(at, Event::StopInCommit(host, Stop::Kill));
                let later = at + 30 + ctx.rng.below(500);
                ctx.at(later, Event::Stop(host, Stop::PowerCut));
            }
            _ => {
                let until = (at + 50 + ctx.rng.below(500)).min(STORM);
                ctx.at(at, Event::Full(host, true));
                ctx.at(until, Event::Full(host, false));
            }
        }
    }

    fn go(&mut self) -> usize {
        let mut events = 0;
        while let Some(((at, _), event)) = self.ctx.events.pop_first() {
            self.ctx.now = at;
            events += 1;
            if events >= EVENTS_MAX {
                break;
            }
            self.trace(at, &event);
            self.happens(event);
        }
        events
    }

    /// Everything that happens, in its order, becomes one number.
    fn trace(&mut self, at: u64, event: &Event) {
        let mut mix = |word: u64| self.hash = (self.hash ^ word).wrapping_mul(0x100_0000_01b3);
        mix(at);
        let (kind, detail) = match event {
            Event::Up(conn, _) => (1, *conn),
            Event::Down(conn, frame) => (2, conn ^ frame_word(frame)),
            Event::HangUp(conn, side) => (3, conn * 2 + u64::from(*side == Side::Client)),
            Event::Synced(host, boot) => (4, host_word(*host) ^ boot << 8),
            Event::Boot(host) | Event::Copy(host) | Event::Full(host, _) => (5, host_word(*host)),
            Event::Stop(host, stop) | Event::StopInCommit(host, stop) => (6, host_word(*host) ^ (*stop as u64) << 8),
            Event::Connect(dev, _) | Event::Wake(dev, _) | Event::Cancel(dev) | Event::Cut(dev) => (7, *dev as u64),
            Event::Read(conn, _, top) => (8, conn ^ top << 16),
            Event::Queue(_, _, body) => (9, *body),
            Event::Calm => (10, 0),
        };
        mix(kind);
        mix(detail);
    }

    fn happens(&mut self, event: Event) {
        let World { ctx, server, clients, .. } = self;
        match event {
            Event::Up(conn, frame) if ctx.arrives(conn, Side::Server) => server.receive(ctx, conn, frame),
            Event::Down(conn, frame) if ctx.arrives(conn, Side::Client) => {
                let dev = ctx.links.conns[&conn].dev;
                clients[dev].receive(ctx, conn, frame);
            }
            Event::HangUp(conn, Side::Client) => {
                let dev = ctx.links.conns[&conn].dev;
                if clients[dev].conn == Some(conn) {
                    clients[dev].hang_up(ctx);
                }
            }
            Event::HangUp(conn, Side::Server) if ctx.links.conns[&conn].server_open => {
                ctx.drop_end(conn, Side::Server);
                server.lost(conn);
            }
            Event::Synced(Host::Server, boot) if server.boot == boot && server.up => server.synced(ctx),
            Event::Synced(Host::Client(dev), boot) if clients[dev].boot == boot && clients[dev].up => {
                clients[dev].synced(ctx);
            }
            Event::Boot(Host::Server) => server.boot(ctx),
            Event::Boot(Host::Client(dev)) => clients[dev].boot(ctx),
            Event::Connect(dev, boot) if clients[dev].boot == boot => clients[dev].connect(ctx, server.up),
            Event::Wake(dev, boot) if clients[dev].boot == boot => clients[dev].woken(ctx),
            Event::Read(conn, boot, top) if server.boot == boot => server.read(ctx, conn, top),
            Event::Queue(dev, to, body) => clients[dev].queue(ctx, to, body),
            Event::Cancel(dev) => clients[dev].cancel(ctx),
            Event::Cut(dev) => {
                if let Some(conn) = clients[dev].conn {
                    ctx.cut(conn);
                }
            }
            Event::Stop(host, stop) if !ctx.calm => self.stop(host, stop),
            Event::StopInCommit(host, stop) => ctx.armed.push((host, stop)),
            Event::Copy(Host::Server) => server.copy = Some(server.disk.durable().clone()),
            Event::Copy(Host::Client(dev)) => clients[dev].copy = Some(clients[dev].disk.durable().clone()),
            Event::Full(Host::Server, full) => server.full = full,
            Event::Full(Host::Client(dev), true) => clients[dev].full = true,
            Event::Full(Host::Client(dev), false) => clients[dev].room_again(ctx),
            Event::Calm => {
                ctx.calm = true;
                ctx.armed.clear();
            }
            _ => {}
        }
    }

    fn stop(&mut self, host: Host, stop: Stop) {
        let World { ctx, server, clients, .. } = self;
        match host {
            Host::Server => {
                server.die(ctx);
                match stop {
                    Stop::Kill => {}
                    Stop::PowerCut => server.disk.power_cut(&mut ctx.rng),
                    Stop::Restore => {
                        if let Some(copy) = server.copy.clone() {
                            ctx.truth.server_restored = true;
                            server.disk.restore(copy);
                        }
                    }
                }
            }
            Host::Client(dev) => {
                let client = &mut clients[dev];
                client.die(ctx);
                match stop {
                    Stop::Kill => {}
                    Stop::PowerCut => client.disk.power_cut(&mut ctx.rng),
                    Stop::Restore => {
                        if let Some(copy) = client.copy.clone() {
                            ctx.truth.restored[dev] = Some(ctx.now);
                            client.disk.restore(copy);
                        }
                    }
                }
            }
        }
        let longest = if ctx.rng.chance(20) { 400 } else { 40 };
        let delay = 1 + ctx.rng.below(longest);
        ctx.after(delay, Event::Boot(host));
    }
}

fn any_recipient(rng: &mut Rng) -> To {
    match rng.below(100) {
        0..20 => To::All,
        20..25 => To::Account(ACCOUNTS),
        _ => To::Account(rng.below(ACCOUNTS as u64) as usize),
    }
}

fn plan_restore(ctx: &mut Ctx, host: Host) {
    let copied = ctx.rng.below(STORM * 3 / 4);
    let restored = copied + ctx.rng.below(STORM - copied);
    ctx.at(copied, Event::Copy(host));
    ctx.at(restored, Event::Stop(host, Stop::Restore));
}

fn host_word(host: Host) -> u64 {
    match host {
        Host::Server => 99,
        Host::Client(dev) => dev as u64,
    }
}

fn frame_word(frame: &super::link::Down) -> u64 {
    use super::link::Down;
    match frame {
        Down::Verdict { cseq, code, .. } => cseq << 20 ^ u64::from(code.0) << 40,
        Down::Deliver(d) => d.body << 20 ^ d.position.n << 40 ^ d.position.nonce,
        Down::Gap { last, .. } => last << 21,
        Down::TryLater { after_ms } => after_ms << 22,
        Down::Welcome { cursor, .. } => cursor.n << 23 ^ cursor.nonce,
        Down::Bye => 1 << 24,
    }
}
