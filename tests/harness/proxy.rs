//! A faulty network in one process: a TCP proxy that cuts, resets, falls silent, repeats, delays or crumbles what passes.
//!
//! A test points a client at [`Proxy::address`]; [`Proxy::set`] says what happens to connections from then on, and
//! [`Proxy::passed`] how many bytes each one carried, so that a program can try every offset.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the client.
    Up,
    /// From the server.
    Down,
}

/// What happens behind the last byte that passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// Both connections are closed.
    Cut,
    /// Both connections are reset.
    Reset,
    /// Nothing passes that way any more, both connections stay open.
    Silence,
    /// The bytes read last go out a second time; then everything passes.
    Repeat,
}

/// The fate of a connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plan {
    /// Something breaks once so many bytes passed that way.
    pub fault: Option<(Way, u64, Break)>,
    /// Bytes go out in pieces of at most this; 0: as they come.
    pub segment: usize,
    /// Each piece waits this long.
    pub delay: Duration,
}

/// Bytes that passed on one connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// From the client.
    pub up: u64,
    /// From the server.
    pub down: u64,
}

#[derive(Default)]
struct State {
    plan: Plan,
    passed: Vec<Passed>,
    open: Vec<(TcpStream, TcpStream)>,
    stopped: bool,
}

struct Shared {
    state: Mutex<State>,
    // wakes those who wait out a delay when the proxy stops
    changed: Condvar,
    target: SocketAddr,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wait out a delay; false when the proxy stopped.
    fn wait(&self, delay: Duration) -> bool {
        let end = Instant::now() + delay;
        let mut state = self.lock();
        while !state.stopped {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        false
    }
}

/// A listening proxy; its connections end when it is dropped.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Proxy {
    /// Listen on a free loopback port and pass everything to `target`.
    pub fn start(target: SocketAddr) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new(), target });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if accepting.lock().stopped {
                    break;
                }
                serve(&accepting, client);
            }
        });
        Proxy { address, shared }
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The fate of connections that come from now on.
    pub fn set(&self, plan: Plan) {
        self.shared.lock().plan = plan;
    }

    /// Close every open connection.
    pub fn cut_all(&self) {
        for (client, server) in self.shared.lock().open.drain(..) {
            close(&client, &server, false);
        }
    }

    /// What every connection carried so far, oldest first.
    pub fn passed(&self) -> Vec<Passed> {
        self.shared.lock().passed.clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.lock().stopped = true;
        self.shared.changed.notify_all();
        self.cut_all();
        // wakes the accepting thread, which sees that it is over
        let _ = TcpStream::connect(self.address);
    }
}

/// Connect a client through, with a thread for each way.
fn serve(shared: &Arc<Shared>, client: TcpStream) {
    let Ok(server) = TcpStream::connect(shared.target) else {
        return;
    };
    let clone = |client: &TcpStream, server: &TcpStream| Some((client.try_clone().ok()?, server.try_clone().ok()?));
    let (Some(kept), Some(up), Some(down)) =
        (clone(&client, &server), clone(&client, &server), clone(&client, &server))
    else {
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let mut state = shared.lock();
    let (plan, index) = (state.plan, state.passed.len());
    state.passed.push(Passed::default());
    state.open.push(kept);
    drop(state);
    let shared_up = Arc::clone(shared);
    std::thread::spawn(move || pass(&shared_up, plan, Way::Up, index, &up.0, &up.1));
    let shared_down = Arc::clone(shared);
    std::thread::spawn(move || pass(&shared_down, plan, Way::Down, index, &down.1, &down.0));
}

/// Carry bytes one way until it ends or breaks.
fn pass(shared: &Shared, plan: Plan, way: Way, index: usize, mut from: &TcpStream, mut to: &TcpStream) {
    let mut buffer = [0u8; 16 * 1024];
    let mut done = 0u64;
    let mut fault = plan.fault.filter(|(at, _, _)| *at == way).map(|(_, bytes, what)| (bytes, what));
    loop {
        if let Some((bytes, what)) = fault.filter(|(bytes, _)| *bytes <= done) {
            match what {
                Break::Cut => return close(from, to, false),
                Break::Reset => return close(from, to, true),
                Break::Silence => return drain(from),
                Break::Repeat => {
                    let again = usize::try_from(bytes).unwrap_or(0).min(64);
                    let _ = to.write_all(&buffer[..again]);
                    fault = None;
                }
            }
        }
        let left = fault.map_or(buffer.len() as u64, |(bytes, _)| bytes - done);
        let room = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX)).max(1);
        let count = match from.read(&mut buffer[..room]) {
            Ok(0) | Err(_) => {
                let _ = to.shutdown(Shutdown::Write);
                return;
            }
            Ok(count) => count,
        };
        let size = if plan.segment == 0 { count } else { plan.segment };
        for piece in buffer[..count].chunks(size) {
            if !plan.delay.is_zero() && !shared.wait(plan.delay) || to.write_all(piece).is_err() {
                return close(from, to, false);
            }
        }
        done += count as u64;
        let mut state = shared.lock();
        let passed = &mut state.passed[index];
        match way {
            Way::Up => passed.up = done,
            Way::Down => passed.down = done,
        }
    }
}

/// Swallow what still comes, as a network does that lost the route behind it.
fn drain(mut from: &TcpStream) {
    let mut buffer = [0u8; 4096];
    while matches!(from.read(&mut buffer), Ok(count) if count > 0) {}
}

/// End both connections; with `reset`, by RST.
fn close(one: &TcpStream, other: &TcpStream, reset: bool) {
    for stream in [one, other] {
        if reset {
            let _ = rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO));
        }
        let _ = stream.shutdown(Shutdown::Both);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that sends back what comes, until the client ends.
    fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let address = listener.local_addr().expect("address");
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    let (mut from, mut to) = (&stream, &stream);
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = stream.shutdown(Shutdown::Write);
                });
            }
        });
        address
    }

    /// Send through a proxy with this plan; what comes back until the end.
    fn through(plan: Plan, bytes: &[u8]) -> Vec<u8> {
        let proxy = Proxy::start(echo());
        proxy.set(plan);
        let mut stream = TcpStream::connect(proxy.address()).expect("connect");
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(Shutdown::Write);
        let mut back = Vec::new();
        let _ = stream.read_to_end(&mut back);
        back
    }

    #[test]
    fn everything_passes_whole_or_in_crumbs() {
        assert_eq!(through(Plan::default(), b"hello world"), b"hello world");
        assert_eq!(through(Plan { segment: 1, ..Plan::default() }, b"hello world"), b"hello world");
        assert_eq!(
            through(Plan { delay: Duration::from_millis(5), segment: 4, ..Plan::default() }, b"hello world"),
            b"hello world"
        );
    }

    #[test]
    fn a_cut_lets_exactly_so_many_bytes_pass() {
        for bytes in [1u64, 5, 10] {
            for what in [Break::Cut, Break::Reset] {
                let plan = Plan { fault: Some((Way::Down, bytes, what)), ..Plan::default() };
                assert!(through(plan, b"hello world").len() as u64 <= bytes);
            }
            let plan = Plan { fault: Some((Way::Up, bytes, Break::Cut)), ..Plan::default() };
            assert!(b"hello world"[..].starts_with(&through(plan, b"hello world")));
        }
    }

    #[test]
    fn silence_keeps_the_connection_open() {
        let proxy = Proxy::start(echo());
        proxy.set(Plan { fault: Some((Way::Down, 5, Break::Silence)), ..Plan::default() });
        let mut stream = TcpStream::connect(proxy.address()).expect("connect");
        stream.write_all(b"hello world").expect("write");
        let mut back = [0u8; 5];
        stream.read_exact(&mut back).expect("five bytes pass");
        stream.set_read_timeout(Some(Duration::from_millis(100))).expect("timeout");
        let silent = stream.read(&mut back).expect_err("nothing more and no end");
        assert!(matches!(silent.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut));
        assert_eq!(proxy.passed()[0].down, 5);
    }

    #[test]
    fn a_repeat_sends_bytes_twice() {
        let plan = Plan { fault: Some((Way::Up, 5, Break::Repeat)), ..Plan::default() };
        assert_eq!(through(plan, b"hello world"), b"hellohello world");
    }
}
