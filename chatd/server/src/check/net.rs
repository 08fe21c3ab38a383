//! Addresses that are free, or ours already, and descriptors enough.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::unix::net::UnixStream;

use rustix::process::{Resource, getrlimit};

use super::{Found, Level, Section};
use crate::config::Config;
use crate::start;

pub(super) fn look(found: &mut Found<'_>) {
    let config = found.config;
    if UnixStream::connect(&config.admin_socket).is_ok() {
        let addresses = std::fs::read_to_string(config.run.join("listen")).unwrap_or_default();
        found.ok(
            Section::Net,
            format!("running, listening on {}", addresses.split_whitespace().collect::<Vec<_>>().join(" ")),
        );
    } else {
        let mut free: Vec<String> = Vec::new();
        let wanted = wanted(config);
        let count = wanted.len();
        for (key, address, over, bound) in wanted {
            match bound {
                Ok(()) => free.push(format!("{address}{over}")),
                Err(error) => {
                    let text = format!("cannot listen on {address}{over}: {}", said(&error));
                    let next = format!("ss -lntup sport = :{}", address.port());
                    found.add(Level::Error, Section::Net, Some(key), text, Some(next));
                }
            }
        }
        if free.len() == count {
            found.ok(Section::Net, format!("free: {}", free.join(" ")));
        }
    }
    descriptors(found);
}

/// Where the server would listen: the key that says so, the address, what over, and whether it can.
type Wanted = (&'static str, SocketAddr, &'static str, io::Result<()>);

fn wanted(config: &Config) -> Vec<Wanted> {
    let tcp = |address: &SocketAddr| TcpListener::bind(address).map(drop);
    let mut all: Vec<Wanted> = config.listen.iter().map(|address| ("listen", *address, "", tcp(address))).collect();
    if let Some(address) = config.relay {
        let key = "private.relay_listen";
        all.push((key, address, "", tcp(&address)));
        all.push((key, address, "/udp", UdpSocket::bind(address).map(drop)));
    }
    all
}

fn said(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "another program does".into(),
        io::ErrorKind::PermissionDenied => "this user may not".into(),
        io::ErrorKind::AddrNotAvailable => "this host has no such address".into(),
        _ => error.to_string(),
    }
}

/// Of this process: a service may have been given more.
fn descriptors(found: &mut Found<'_>) {
    let wanted = u64::from(found.config.keys.limits.connections);
    let Some(given) = getrlimit(Resource::Nofile).maximum else { return };
    let room = start::room(given, found.config.relay.is_some());
    if wanted > room {
        let text = format!(
            "{wanted} connections are too many for the {given} open files that the system allows here: there is room for {room}"
        );
        found.warn(Section::Net, "limits.connections", text, "config show");
    }
}
