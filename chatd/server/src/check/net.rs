//! Addresses that are free, or ours already, or systemd's for us, and descriptors enough.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use rustix::process::{Resource, getrlimit};

use super::{Found, Level, Section};
use crate::config::Config;
use crate::listen::{Door, Given};
use crate::start;

/// There while systemd runs the host.
const SYSTEMD: &str = "/run/systemd/system";

pub(super) fn look(found: &mut Found<'_>) {
    let config = found.config;
    let given = if UnixStream::connect(&config.admin_socket).is_ok() {
        let addresses = std::fs::read_to_string(config.run.join("listen")).unwrap_or_default();
        let addresses = addresses.split_whitespace().collect::<Vec<_>>().join(" ");
        found.ok(Section::Net, format!("running, listening on {addresses}"));
        start::told_doors(config)
    } else {
        let given = if found.looked.layout.own { Vec::new() } else { of_systemd() };
        stopped(found, &given);
        given
    };
    for given in given.iter().filter(|given| given.contradicts(config)) {
        let text = format!("does not count: the service manager listens on {}", words(&given.addresses));
        let next = format!("systemctl edit {}", given.door.unit());
        found.add(Level::Warn, Section::Net, Some(given.door.key()), text, Some(next));
    }
    descriptors(found);
}

/// Whether a server could start.
fn stopped(found: &mut Found<'_>, given: &[Given]) {
    let config = found.config;
    let (mut free, mut well): (Vec<String>, bool) = (Vec::new(), true);
    for Given { door, addresses } in given {
        found.ok(Section::Net, format!("systemd listens for the server on {} ({})", words(addresses), door.unit()));
    }
    let is_given = |door| given.iter().any(|given| given.door == door);
    for door in Door::ALL.into_iter().filter(|door| !is_given(*door)) {
        if !given.is_empty() && !door.written(config).is_empty() {
            let text = "systemd has no socket for it, so that a server which it starts refuses to".to_owned();
            let next = format!("systemctl enable --now {}", door.unit());
            found.add(Level::Error, Section::Net, Some(door.key()), text, Some(next));
            continue;
        }
        for (address, over, bound) in wanted(door, config) {
            match bound {
                Ok(()) => free.push(format!("{address}{over}")),
                Err(error) => {
                    well = false;
                    let text = format!("cannot listen on {address}{over}: {}", said(&error));
                    let next = format!("ss -lntup sport = :{}", address.port());
                    found.add(Level::Error, Section::Net, Some(door.key()), text, Some(next));
                }
            }
        }
    }
    if well && !free.is_empty() {
        found.ok(Section::Net, format!("free: {}", free.join(" ")));
    }
}

/// Where the server would listen: the address, what over, and whether it can.
type Wanted = (SocketAddr, &'static str, io::Result<()>);

fn wanted(door: Door, config: &Config) -> Vec<Wanted> {
    let tcp = |address: SocketAddr| (address, "", TcpListener::bind(address).map(drop));
    let udp = |address: SocketAddr| (address, "/udp", UdpSocket::bind(address).map(drop));
    let written = door.written(config);
    let over_udp = if door == Door::Relay { written.clone() } else { Vec::new() };
    written.into_iter().map(tcp).chain(over_udp.into_iter().map(udp)).collect()
}

/// The sockets that systemd has open for us; nothing where it does not run the host.
fn of_systemd() -> Vec<Given> {
    if !Path::new(SYSTEMD).is_dir() {
        return Vec::new();
    }
    let given = Door::ALL.into_iter().map(|door| Given { door, addresses: addresses(&shown(door.unit())) });
    given.filter(|given| !given.addresses.is_empty()).collect()
}

/// What systemd says of a unit; nothing where it cannot be asked.
fn shown(unit: &str) -> String {
    let asked = Command::new("systemctl").args(["show", "--property=ActiveState,Listen", unit]).output();
    asked.map(|said| String::from_utf8_lossy(&said.stdout).into_owned()).unwrap_or_default()
}

/// `Listen=[::]:7443 (Stream)`, a line each, of a unit that is active.
fn addresses(shown: &str) -> Vec<SocketAddr> {
    if !shown.lines().any(|line| line == "ActiveState=active") {
        return Vec::new();
    }
    let streams = shown.lines().filter_map(|line| line.strip_prefix("Listen=")?.strip_suffix(" (Stream)"));
    streams.filter_map(|address| address.parse().ok()).collect()
}

fn words(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(" ")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_systemd_says_is_read() {
        let said = |state: &str| {
            format!(
                "Listen=[::]:7443 (Stream)\nListen=127.0.0.1:1 (Stream)\nListen=[::]:7444 (Datagram)\nActiveState={state}\n"
            )
        };
        assert_eq!(words(&addresses(&said("active"))), "[::]:7443 127.0.0.1:1");
        assert!(addresses(&said("inactive")).is_empty());
        assert!(addresses("").is_empty());
    }
}
