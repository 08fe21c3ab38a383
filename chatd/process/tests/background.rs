//! The readiness pipe with real forks: this program starts itself in a role, and the role says how it ends.
#![cfg(unix)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output};
use std::time::Duration;

use chat_process::background::{Role, detach};
use chat_process::harden::harden;

const WITHIN: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    match &arguments[1..] {
        [flag, role, dir] if flag == "--role" => play(role, Path::new(dir)),
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
            match role {
                "ready" => {
                    std::fs::write(dir.join("state"), format!("{:?}", std::env::current_dir())).unwrap();
                    // A program that the daemon starts must not hold the pipe open.
                    let mut other = Command::new("sleep").arg("30").spawn().unwrap();
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
    assert_eq!(std::fs::read_to_string(dir.join("state")).unwrap(), "Ok(\"/\")");
    for file in ["state", "log"] {
        assert_eq!(std::fs::metadata(dir.join(file)).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
    }

    let failed = run("failed", &dir);
    assert_eq!(
        (failed.status.code(), text(&failed)),
        (Some(69), "port 7443 is taken\nby another program\n".to_owned())
    );

    let died = run("died", &dir);
    assert_eq!(died.status.code(), Some(70));
    assert!(text(&died).contains(dir.join("log").to_str().unwrap()), "{}", text(&died));
    let log = std::fs::read_to_string(dir.join("log")).unwrap();
    assert!(log.contains("in the background") && log.contains("died as told"), "{log}");

    std::fs::write(dir.join("hold"), "").unwrap();
    let slow = run("slow", &dir);
    assert_eq!(slow.status.code(), Some(69), "{}", text(&slow));
    std::fs::remove_dir_all(dir).unwrap();
    println!("background: ready, failed, died and slow daemons are told apart");
}

fn run(role: &str, dir: &Path) -> Output {
    Command::new(std::env::current_exe().unwrap()).arg("--role").arg(role).arg(dir).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn fresh_dir() -> PathBuf {
    let dir = std::env::temp_dir().join(format!("chat-process-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    dir
}
