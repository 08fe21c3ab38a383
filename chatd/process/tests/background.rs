//! The readiness pipe with real daemons: this program starts itself in a role, and the role says how it ends.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output, Stdio};
use std::time::Duration;

use chat_process::background::{Role, detach};
use chat_process::harden::harden;

const WITHIN: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    match &arguments[1..] {
        // On Windows the daemon has an argument more.
        [flag, role, dir, ..] if flag == "--role" => play(role, Path::new(dir)),
        // Lives until its stdin ends.
        [flag] if flag == "--wait" => {
            let _ = std::io::stdin().read_line(&mut String::new());
            ExitCode::SUCCESS
        }
        // Test runners ask first which tests there are, and then which of them are ignored.
        [first, ..] if first == "--list" => {
            if !arguments.iter().any(|argument| argument == "--ignored") {
                println!("background: test");
            }
            ExitCode::SUCCESS
        }
        _ => {
            check();
            ExitCode::SUCCESS
        }
    }
}

/// What a daemon's `main` does.
fn play(role: &str, dir: &Path) -> ExitCode {
    harden();
    let within = if role == "slow" { Duration::from_millis(50) } else { WITHIN };
    match detach(Some(&dir.join("log")), within) {
        Ok(Role::Parent(verdict)) => {
            let (code, text) = verdict.exit();
            if let Some(text) = text {
                eprintln!("{text}");
            }
            ExitCode::from(code)
        }
        Ok(Role::Child(readiness)) => {
            println!("in the background");
            eprintln!("with a log");
            match role {
                "ready" => {
                    std::fs::write(dir.join("state"), format!("{:?}", std::env::current_dir())).unwrap();
                    // A program that the daemon starts must not hold the pipe open.
                    let mut other = Command::new(std::env::current_exe().unwrap());
                    let mut other = other.arg("--wait").stdin(Stdio::piped()).spawn().unwrap();
                    readiness.ready();
                    other.kill().unwrap();
                    other.wait().unwrap();
                }
                "failed" => readiness.failed(69, "port 7443 is taken\nby another program"),
                "slow" => {
                    // Ends when the test has seen the parent end, and took the file away.
                    while dir.join("hold").exists() {
                        std::thread::yield_now();
                    }
                    readiness.ready();
                }
                _ => panic!("died as told"),
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(71)
        }
    }
}

fn check() {
    let dir = fresh_dir();
    let ready = run("ready", &dir);
    assert_eq!((ready.status.code(), text(&ready)), (Some(0), String::new()));
    check_place(&dir);

    let failed = run("failed", &dir);
    assert_eq!(
        (failed.status.code(), text(&failed).replace("\r\n", "\n")),
        (Some(69), "port 7443 is taken\nby another program\n".to_owned())
    );

    let died = run("died", &dir);
    assert_eq!(died.status.code(), Some(70));
    assert!(text(&died).contains(dir.join("log").to_str().unwrap()), "{}", text(&died));
    let log = std::fs::read_to_string(dir.join("log")).unwrap();
    assert!(log.contains("with a log") && log.contains("died as told"), "{log}");
    assert_eq!(log.contains("in the background"), cfg!(unix), "{log}");

    std::fs::write(dir.join("hold"), "").unwrap();
    let slow = run("slow", &dir);
    assert_eq!(slow.status.code(), Some(69), "{}", text(&slow));
    std::fs::remove_file(dir.join("hold")).unwrap();
    // A daemon that has its log open keeps the folder for a moment on Windows.
    let removed = std::fs::remove_dir_all(dir);
    assert!(removed.is_ok() || cfg!(windows), "{removed:?}");
    println!("background: ready, failed, died and slow daemons are told apart");
}

/// A daemon leaves the directory that it was started in, and its files are private.
#[cfg(unix)]
fn check_place(dir: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(std::fs::read_to_string(dir.join("state")).unwrap(), "Ok(\"/\")");
    for file in ["state", "log"] {
        assert_eq!(std::fs::metadata(dir.join(file)).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
    }
}

/// On Windows it stays: what was typed relative to the directory is read again in it.
#[cfg(windows)]
fn check_place(dir: &Path) {
    let here = format!("{:?}", std::env::current_dir());
    assert_eq!(std::fs::read_to_string(dir.join("state")).unwrap(), here);
}

/// What the parent says goes to a file: through a pipe it would end with the daemon on Windows.
fn run(role: &str, dir: &Path) -> Output {
    let said = dir.join("said");
    let stderr = std::fs::File::create(&said).unwrap();
    let mut parent = Command::new(std::env::current_exe().unwrap());
    let status = parent.arg("--role").arg(role).arg(dir).stdout(Stdio::null()).stderr(stderr).status().unwrap();
    Output { status, stdout: Vec::new(), stderr: std::fs::read(said).unwrap() }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn fresh_dir() -> PathBuf {
    let dir = std::env::temp_dir().join(format!("chat-process-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    dir
}
