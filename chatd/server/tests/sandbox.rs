//! The sandbox of the server, with exactly its own rules: everything that they forbid is tried, for real.
#![cfg(target_os = "linux")]

#[path = "../../process/tests/probe/mod.rs"]
mod probe;

use std::path::Path;

use chat_process::sandbox::{Asked, Kernel, Rules, Verdict, confine, verdict};
use chat_server::config::{self, Layout};
use chat_server::sandbox;
use probe::Stage;

/// As of a server whose directories lie beside what is outside; its data directory is the own one.
fn rules(stage: &Stage) -> Rules {
    let dir = stage.own.parent().unwrap();
    let text = "listen = [\"127.0.0.1:7443\"]\n[admin]\nhttp = \"127.0.0.1:7480\"\n";
    std::fs::write(dir.join("chat-server.toml"), text).unwrap();
    let config = config::load(&Layout::new(Some(dir), None), "localhost").unwrap();
    sandbox::prepare(&config);
    sandbox::rules(&config, None)
}

fn main() {
    let Some((role, stage)) = probe::asked("sandbox") else { return check() };
    let rules = rules(&stage);
    if role == "confined" {
        let confined = confine(&rules, Kernel::look()).unwrap();
        assert_eq!(confined.lacks(), None);
    }
    probe::try_all(&stage);
}

fn check() {
    let run = |role: &str| {
        let kept = probe::stage("server/data");
        let rules = rules(&kept.stage);
        (probe::run(role, &kept.stage), rules)
    };
    let ((free, _), (confined, rules)) = (run("free"), run("confined"));
    assert!(!rules.read.iter().any(|path| path == Path::new("/")), "{rules:?}");
    let forbidden = probe::judge(&confined, &free, &rules);
    // It speaks to the network and to local sockets, and to nothing else.
    for family in 0..46 {
        let asked = Asked { call: 41, arguments: [family, 1, 0] };
        let meant = if [1, 2, 10].contains(&family) { Verdict::Allowed } else { Verdict::Error(1) };
        if cfg!(target_arch = "x86_64") {
            assert_eq!(verdict(&rules, 1, asked).unwrap(), meant, "family {family}");
        }
    }
    println!("sandbox: {forbidden} forbidden tries, all refused");
}
