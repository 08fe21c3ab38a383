//! The sandbox for real: what these rules forbid is tried in a process that has them, and in one that has not.
#![cfg(target_os = "linux")]

mod probe;

use std::io;
use std::net::TcpListener;
use std::os::fd::AsFd as _;
use std::path::Path;

use chat_process::sandbox::{Confined, Kernel, Rules, confine};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount, umount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::ptrace;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::{Pid, getuid, setuid};
use probe::Stage;

/// Refused to the confined process; root may do them elsewhere.
const CALLS: [&str; 9] =
    ["ptrace", "read_memory", "namespace", "enter_namespace", "mount", "umount", "personality", "user", "module"];

fn rules(stage: &Stage) -> Rules {
    Rules { write: vec![stage.own.clone()], read: vec!["/proc/self".into(), "/lib".into()], ..Rules::default() }
}

fn main() {
    let Some((role, stage)) = probe::asked("sandbox") else { return check() };
    let kernel = match role.as_str() {
        "confined" => Some(Kernel::look()),
        "no_landlock" => Some(Kernel { landlock: false, ..Kernel::look() }),
        "no_seccomp" => Some(Kernel { seccomp: false, ..Kernel::look() }),
        "old_kernel" => Some(Kernel::NONE),
        _ => None,
    };
    // An open descriptor is no way around.
    let namespace = std::fs::File::open("/proc/self/ns/net").unwrap();
    let before = TcpListener::bind("127.0.0.1:0").unwrap();
    if let Some(kernel) = kernel {
        let confined = confine(&rules(&stage), kernel).unwrap();
        assert_eq!((confined.landlock.is_some(), confined.seccomp), (kernel.landlock, kernel.seccomp));
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let is = |line: &str| status.lines().any(|own| own == line);
        assert_eq!(is("NoNewPrivs:\t1"), confined != Confined::default(), "{status}");
        assert_eq!(is("Seccomp:\t2"), confined.seccomp, "{status}");
    }
    // What was listened on before stays.
    before.set_nonblocking(true).unwrap();
    let nobody = before.accept().map(drop);
    probe::print(
        "own_listener",
        nobody.or_else(|e| if e.kind() == io::ErrorKind::WouldBlock { Ok(()) } else { Err(e) }),
    );
    calls(&stage, &namespace);
    probe::try_all(&stage);
}

/// Calls that a library of ours never makes; with a library that makes them safely.
fn calls(stage: &Stage, namespace: &std::fs::File) {
    let victim = Pid::from_raw(stage.victim);
    let tell = |name: &str, came: nix::Result<()>| probe::print(name, came.map_err(io::Error::from));
    tell("ptrace", ptrace::seize(victim, ptrace::Options::empty()));
    // Nothing lies at its first byte: the kernel looks whether one may before it looks there.
    let mut byte = [0];
    let remote = [RemoteIoVec { base: 0, len: 1 }];
    let read = process_vm_readv(victim, &mut [io::IoSliceMut::new(&mut byte)], &remote).map(drop);
    tell("read_memory", if read == Err(Errno::EFAULT) { Ok(()) } else { read });
    tell("enter_namespace", setns(namespace.as_fd(), CloneFlags::CLONE_NEWNET));
    tell("namespace", unshare(CloneFlags::CLONE_NEWNS));
    let none: Option<&Path> = None;
    // In a namespace of its own, so that nobody else sees it.
    tell(
        "mount",
        mount(Some("none"), Path::new("/"), none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
            .and_then(|()| mount(Some("tmpfs"), &stage.outside.join("open"), Some("tmpfs"), MsFlags::empty(), none)),
    );
    tell("umount", umount(&stage.outside.join("open")));
    tell("personality", nix::sys::personality::get().map(drop));
    tell("user", setuid(getuid()));
    let module = nix::kmod::init_module(b"no module", c"");
    tell("module", if module == Err(Errno::ENOEXEC) { Ok(()) } else { module });
}

fn check() {
    let run = |role: &str| {
        let kept = probe::stage("own");
        let rules = rules(&kept.stage);
        (probe::run(role, &kept.stage), rules)
    };
    let (mut free, _) = run("free");
    let (mut confined, rules) = run("confined");
    // Root of a host may; root of a container not always. That the sandbox refuses is told by its own error where the other differs.
    let mut proven = 0;
    for name in CALLS {
        let (with, without) = (confined.remove(name).unwrap(), free.remove(name).unwrap());
        assert!(with == Err(libc::EPERM) || with == Err(libc::ENOSYS), "{name} is not refused: {with:?}");
        proven += usize::from(without.is_ok());
    }
    let forbidden = probe::judge(&confined, &free, &rules);

    let (old, _) = run("old_kernel");
    assert!(old["read"].is_ok() && old["exec"].is_ok() && old["connect"].is_ok(), "{old:?}");
    let (half, _) = run("no_landlock");
    assert!(half["read"].is_ok() && half["exec"] == Err(libc::EPERM) && half["signal"] == Err(libc::EPERM), "{half:?}");
    let (half, _) = run("no_seccomp");
    assert!(half["read"] == Err(libc::EACCES) && half["exec"] == Err(libc::EACCES), "{half:?}");
    assert!(half["connect"] == Err(libc::EACCES) && half["netlink"].is_ok(), "{half:?}");
    println!(
        "sandbox: {} forbidden tries, all refused; {proven} of {} calls work without it",
        forbidden + CALLS.len(),
        CALLS.len()
    );
}
