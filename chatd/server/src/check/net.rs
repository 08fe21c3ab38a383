//! Addresses that are free, or ours already, and descriptors enough.

use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixStream;

use chat_proto::limits;
use rustix::process::{Resource, getrlimit};

use super::{Found, Level, Section};

pub(super) fn look(found: &mut Found<'_>) {
    let config = found.config;
    if UnixStream::connect(&config.admin_socket).is_ok() {
        let addresses = std::fs::read_to_string(config.run.join("listen")).unwrap_or_default();
        found.ok(
            Section::Net,
            format!("running, listening on {}", addresses.split_whitespace().collect::<Vec<_>>().join(" ")),
        );
    } else {
        let mut free = Vec::new();
        for address in &config.listen {
            match TcpListener::bind(address) {
                Ok(_) => free.push(address.to_string()),
                Err(error) => {
                    let text = format!("cannot listen on {address}: {}", said(&error));
                    let next = format!("ss -ltnp sport = :{}", address.port());
                    found.add(Level::Error, Section::Net, Some("listen"), text, Some(next));
                }
            }
        }
        if free.len() == config.listen.len() {
            found.ok(Section::Net, format!("free: {}", free.join(" ")));
        }
    }
    descriptors(found);
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
    if wanted + limits::DESCRIPTOR_RESERVE as u64 > given {
        let text = format!("{wanted} connections are more than the {given} open files that the system allows here");
        found.warn(Section::Net, "limits.connections", text, "config show");
    }
}
