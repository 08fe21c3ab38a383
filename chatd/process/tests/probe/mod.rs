//! Tries everything that a confined process must not do, for real, and says what came of each. Used by the test of the sandbox
//! itself and by those of each daemon's own rules, which include this file.
//!
//! The parent makes a [`Stage`] and starts itself again as the one that tries: restrictions have no way back. It does so once with
//! the sandbox and once without, so that a try that fails by itself proves nothing.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use chat_process::sandbox::Rules;
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, netlink, socket, socket_with};
use rustix::process::{Pid, Resource, Rlimit, chroot, prlimit, test_kill_process};

/// What a try needs of the world.
pub struct Stage {
    /// A directory of the process's own, with `file` and `other/` in it.
    pub own: PathBuf,
    /// A directory that is not, with `secret`, `victim` and `open/` in it.
    pub outside: PathBuf,
    /// A port that may not be bound.
    pub port: u16,
    /// Somebody listens here.
    pub peer: SocketAddr,
    /// Somebody listens at this abstract name.
    pub name: String,
    /// A process that is none of the own.
    pub victim: i32,
}

impl Stage {
    fn arguments(&self) -> Vec<String> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let numbers = [self.port.to_string(), self.peer.to_string(), self.name.clone(), self.victim.to_string()];
        [text(&self.own), text(&self.outside)].into_iter().chain(numbers).collect()
    }

    fn of(arguments: &[String]) -> Stage {
        let [own, outside, port, peer, name, victim] = arguments else { panic!("six arguments: {arguments:?}") };
        Stage {
            own: own.into(),
            outside: outside.into(),
            port: port.parse().unwrap(),
            peer: peer.parse().unwrap(),
            name: name.clone(),
            victim: victim.parse().unwrap(),
        }
    }
}

/// Everything of a stage that must be kept until the tries are over.
pub struct Kept {
    pub stage: Stage,
    _dir: tempfile::TempDir,
    victim: Child,
    _peer: TcpListener,
    _abstract: UnixListener,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.victim.kill().unwrap();
        self.victim.wait().unwrap();
    }
}

/// A fresh world; `own` is the path of the own directory below it.
pub fn stage(own: &str) -> Kept {
    let dir = tempfile::tempdir().unwrap();
    let (own, outside) = (dir.path().join(own), dir.path().join("outside"));
    fs::create_dir_all(own.join("other")).unwrap();
    fs::create_dir_all(outside.join("open")).unwrap();
    fs::write(own.join("file"), "own").unwrap();
    fs::write(outside.join("secret"), "secret").unwrap();
    fs::write(outside.join("victim"), "victim").unwrap();
    let peer = TcpListener::bind("127.0.0.1:0").unwrap();
    let name = format!("chat-probe-{}-{}", std::process::id(), peer.local_addr().unwrap().port());
    let abstract_listener = UnixListener::bind_addr(&UnixAddress::from_abstract_name(&name).unwrap()).unwrap();
    let victim = Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let peer_address = peer.local_addr().unwrap();
    let pid = i32::try_from(victim.id()).unwrap();
    let stage = Stage { own, outside, port: free, peer: peer_address, name, victim: pid };
    Kept { stage, _dir: dir, victim, _peer: peer, _abstract: abstract_listener }
}

/// What came of each try.
pub type Results = BTreeMap<String, Result<(), i32>>;

/// Starts this program again in a role and reads what its tries came to.
pub fn run(role: &str, stage: &Stage) -> Results {
    let output = Command::new(std::env::current_exe().unwrap())
        .arg("--role")
        .arg(role)
        .args(stage.arguments())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let read = |line: &str| {
        let (name, code) = line.split_once(' ').unwrap();
        let code: i32 = code.parse().unwrap();
        (name.to_owned(), if code == 0 { Ok(()) } else { Err(code) })
    };
    let mut results: Results = text.lines().map(read).collect();
    // The last try is another program in the place of this one: one that succeeds says nothing more.
    assert!(output.status.success(), "{role}: {:?}\n{text}", output.status);
    results.entry("exec".into()).or_insert(Ok(()));
    results
}

/// What test runners ask of a program that is a test itself; the role and its stage where this is one of the tries.
pub fn asked(test: &str) -> Option<(String, Stage)> {
    let arguments: Vec<String> = std::env::args().collect();
    match &arguments[1..] {
        [flag, role, stage @ ..] if flag == "--role" => Some((role.clone(), Stage::of(stage))),
        [first, ..] if first == "--list" => {
            if !arguments.iter().any(|argument| argument == "--ignored") {
                println!("{test}: test");
            }
            std::process::exit(0);
        }
        _ => None,
    }
}

/// Does all of it and prints what came of each.
pub fn try_all(stage: &Stage) {
    for (name, tried) in tries(stage) {
        print(name, tried);
    }
    print("exec", Err(Command::new("/bin/true").exec()));
}

pub fn print(name: &str, tried: io::Result<()>) {
    let code = |error: io::Error| error.raw_os_error().unwrap_or(-1);
    println!("{name} {}", tried.map_err(code).err().unwrap_or(0));
}

type Tried = (&'static str, io::Result<()>);

fn tries(stage: &Stage) -> Vec<Tried> {
    let (own, outside) = (|name: &str| stage.own.join(name), |name: &str| stage.outside.join(name));
    let victim = Pid::from_raw(stage.victim).unwrap();
    let mut tries: Vec<Tried> = vec![
        // What a daemon does all the time.
        ("own_read", read(&own("file"))),
        ("own_list", fs::read_dir(&stage.own).map(drop)),
        ("own_write", fs::write(own("new"), "x")),
        ("own_folder", fs::create_dir(own("folder"))),
        ("own_rename", fs::rename(own("new"), own("other/new"))),
        ("own_link", fs::hard_link(own("other/new"), own("linked"))),
        ("own_remove", fs::remove_file(own("linked"))),
        ("own_socket", UnixListener::bind(own("socket")).map(drop)),
        ("own_thread", thread()),
        ("own_signal", test_kill_process(rustix::process::getpid()).map_err(Into::into)),
        // Files of others.
        ("read", read(&outside("secret"))),
        ("list", fs::read_dir(&stage.outside).map(drop)),
        ("passwords", read(Path::new("/etc/shadow"))),
        ("environment", read(Path::new(&format!("/proc/{}/environ", stage.victim)))),
        ("append", OpenOptions::new().append(true).open(outside("secret")).map(drop)),
        ("truncate", OpenOptions::new().write(true).truncate(true).open(outside("victim")).map(drop)),
        ("create", fs::write(outside("new"), "x")),
        ("create_in_tmp", fs::write(temporary(stage), "x").and_then(|()| fs::remove_file(temporary(stage)))),
        ("folder", fs::create_dir(outside("folder"))),
        ("symlink", std::os::unix::fs::symlink("/etc/passwd", outside("symlink"))),
        ("link_in", fs::hard_link(outside("secret"), own("secret"))),
        ("link_out", fs::hard_link(own("file"), outside("file"))),
        ("rename_out", fs::rename(own("file"), outside("moved"))),
        ("rename_in", fs::rename(outside("victim"), own("victim"))),
        ("remove", fs::remove_file(outside("open/x")).or_else(|_| fs::remove_dir(outside("open")))),
        ("fifo", node(&own("fifo"), FileType::Fifo)),
        // The network.
        ("bind", TcpListener::bind(("127.0.0.1", stage.port)).map(drop)),
        ("connect", TcpStream::connect(stage.peer).map(drop)),
        (
            "abstract",
            UnixAddress::from_abstract_name(&stage.name).and_then(|to| UnixStream::connect_addr(&to)).map(drop),
        ),
        ("routes", netlink_socket(None)),
        ("netlink", netlink_socket(Some(netlink::KOBJECT_UEVENT))),
        ("crypto", socket(AddressFamily::from_raw(38), SocketType::SEQPACKET, None).map(drop).map_err(Into::into)),
        // Other processes.
        ("signal", test_kill_process(victim).map_err(Into::into)),
        ("limits", limit(victim)),
        ("spawn", Command::new("/bin/true").status().map(drop)),
    ];
    if rustix::process::geteuid().is_root() {
        tries.push(("device", node(&own("device"), FileType::CharacterDevice)));
        tries.push(("packet", socket(AddressFamily::PACKET, SocketType::RAW, None).map(drop).map_err(Into::into)));
    }
    tries
}

/// Tries that change the process for good, at the very end.
#[allow(dead_code)]
pub fn try_chroot(stage: &Stage) {
    print("chroot", chroot(&stage.own).map_err(Into::into));
}

fn read(path: &Path) -> io::Result<()> {
    File::open(path)?.read(&mut [0; 1]).map(drop)
}

fn temporary(stage: &Stage) -> PathBuf {
    PathBuf::from(format!("/var/tmp/{}", stage.name))
}

fn thread() -> io::Result<()> {
    std::thread::Builder::new().spawn(|| ())?.join().map_err(|_| io::Error::other("it panicked"))
}

fn node(path: &Path, kind: FileType) -> io::Result<()> {
    // 1:3 is the null device.
    Ok(mknodat(CWD, path, kind, Mode::RUSR | Mode::WUSR, makedev(1, 3))?)
}

/// Without a kind it is one for routes.
fn netlink_socket(kind: Option<rustix::net::Protocol>) -> io::Result<()> {
    let flags = rustix::net::SocketFlags::CLOEXEC;
    Ok(socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, kind).map(drop)?)
}

fn limit(of: Pid) -> io::Result<()> {
    Ok(prlimit(Some(of), Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).map(drop)?)
}

/// Tries that succeed without a sandbox and must with these rules: what a daemon needs.
fn is_allowed(name: &str, rules: &Rules) -> bool {
    let etc = rules.read.iter().any(|path| path == Path::new("/etc"));
    match name {
        "connect" => rules.connect,
        "routes" => rules.routes,
        "passwords" => etc,
        name => name.starts_with("own_"),
    }
}

/// Every forbidden try was refused by the sandbox, and every needed one was not; without it all succeed. Says how many there were.
pub fn judge(confined: &Results, free: &Results, rules: &Rules) -> usize {
    assert_eq!(confined.keys().collect::<Vec<_>>(), free.keys().collect::<Vec<_>>());
    let denials = [Errno::PERM, Errno::ACCESS, Errno::NOSYS, Errno::XDEV].map(Errno::raw_os_error);
    let mut forbidden = 0;
    for (name, came) in confined {
        if is_allowed(name, rules) {
            assert_eq!(*came, Ok(()), "{name} is needed");
        } else {
            assert!(came.is_err_and(|code| denials.contains(&code)), "{name} is not refused: {came:?}");
            forbidden += 1;
        }
    }
    for (name, came) in free {
        // Some kernels or hosts have no such sockets, some users may not look at shadow: then a refusal by the sandbox proves little.
        let may_lack = ["crypto", "packet", "device", "passwords"].contains(&name.as_str());
        assert!(came.is_ok() || may_lack, "{name} fails without a sandbox: {came:?}");
    }
    forbidden
}
