//! What a service manager hands over, over real descriptors: this program starts itself by a shell that puts one at the place where
//! the first is looked for.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::process::{Command, Output, Stdio};

use chat_process::inherit::{Inherited, Socket};

/// The daemon's part: says what it was given. Run by itself it is given nothing.
#[test]
fn a_daemon_is_given() {
    let given = Inherited::of_process();
    let told = match &given {
        Ok(_) if Inherited::of_process().is_ok_and(|again| again.is_empty()) => "once",
        Ok(_) => "twice",
        Err(error) => &error.to_string(),
    };
    println!("{told}");
    for (name, socket) in given.into_iter().flatten() {
        let kind = match socket {
            Socket::Tcp(_) => "tcp",
            Socket::Udp(_) => "udp",
            Socket::Local(_) => "local",
        };
        println!("{kind} {name:?}");
    }
}

/// What it says when it finds this descriptor, with these variables.
fn said(descriptor: impl Into<OwnedFd>, variables: &str) -> String {
    let script = format!("exec 3<&0 </dev/null; export {variables}; exec \"$@\"");
    let Output { stdout, .. } = Command::new("sh")
        .args(["-c", &script, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "a_daemon_is_given", "--nocapture"])
        .stdin(Stdio::from(descriptor.into()))
        .output()
        .unwrap();
    String::from_utf8(stdout).unwrap()
}

fn tcp() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

#[test]
fn each_kind_of_socket_is_known() {
    let path = std::env::temp_dir().join(format!("chat-process-inherit-{}", std::process::id()));
    let local = UnixListener::bind(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    let one = "LISTEN_PID=$$ LISTEN_FDS=1";
    assert!(said(tcp(), &format!("{one} LISTEN_FDNAMES=listen")).contains("once\ntcp \"listen\"\n"));
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    assert!(
        said(udp, &format!("{one} LISTEN_FDNAMES=private.relay_listen")).contains("udp \"private.relay_listen\"\n")
    );
    assert!(said(local, one).contains("once\nlocal \"\"\n"), "a name is not needed");
}

#[test]
fn what_is_for_another_process_is_left_alone() {
    let said = said(tcp(), "LISTEN_PID=1 LISTEN_FDS=1");
    assert!(said.contains("once\n") && !said.contains("tcp"), "{said}");
}

#[test]
fn what_nobody_can_serve_is_said() {
    let one = "LISTEN_PID=$$ LISTEN_FDS=1";
    let text = said(File::open("/dev/null").unwrap(), &format!("{one} LISTEN_FDNAMES=listen"));
    assert!(text.contains("a descriptor (\"listen\") that is no listening socket"), "{text}");
    let connected = std::net::TcpStream::connect(tcp().local_addr().unwrap());
    let text = said(connected.unwrap(), one);
    assert!(text.contains("a descriptor (\"0\") that is no listening socket"), "{text}");
    // more are announced than there are
    let text = said(tcp(), "LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=a:b");
    assert!(text.contains("(\"b\")"), "{text}");
}
