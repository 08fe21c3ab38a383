//! The sandbox of chatd, with exactly its own rules: everything that they forbid is tried, for real.
#![cfg(target_os = "linux")]

#[path = "../../process/tests/probe/mod.rs"]
mod probe;

use std::path::{Path, PathBuf};

use chat_local::paths::{Layout, Surroundings};
use chat_process::sandbox::{Asked, Kernel, Rules, Verdict, confine, verdict};
use chatd::sandbox;
use probe::Stage;

/// Of a home beside what is outside; its data directory is the own one.
fn home(stage: &Stage) -> (Layout, PathBuf) {
    let home = stage.own.parent().expect("a home").to_owned();
    (Surroundings { home_flag: Some(home.clone()), ..Surroundings::default() }.layout().expect("a layout"), home)
}

fn rules(stage: &Stage) -> Rules {
    let (layout, home) = home(stage);
    let (socket, received) = (layout.listen_path(|_| false), home.join("Downloads"));
    sandbox::prepare(&layout, &socket, &received);
    sandbox::rules(&layout, &socket, &received, &sandbox::Surroundings::default())
}

fn main() {
    let Some((role, stage)) = probe::asked("sandbox") else { return check() };
    let rules = rules(&stage);
    let config = home(&stage).1.join("config/config.toml");
    std::fs::create_dir_all(config.parent().expect("a folder")).expect("made");
    if role == "confined" {
        let confined = confine(&rules, Kernel::look()).expect("confined");
        assert_eq!(confined.lacks(), None);
    }
    // A hook that it could write there would run at the next start.
    probe::print("configuration", std::fs::write(config, ""));
    probe::try_all(&stage);
}

fn check() {
    let run = |role: &str| {
        let kept = probe::stage("home/data");
        std::fs::set_permissions(&kept.stage.own, std::os::unix::fs::PermissionsExt::from_mode(0o700)).expect("chmod");
        let rules = rules(&kept.stage);
        (probe::run(role, &kept.stage), rules)
    };
    let ((free, _), (confined, rules)) = (run("free"), run("confined"));
    assert!(!rules.read.iter().any(|path| path == Path::new("/")), "{rules:?}");
    let forbidden = probe::judge(&confined, &free, &rules);
    for family in 0..46 {
        let asked = Asked { call: 41, arguments: [family, 1, 0] };
        let meant = if [1, 2, 10, 16].contains(&family) { Verdict::Allowed } else { Verdict::Error(1) };
        if cfg!(target_arch = "x86_64") {
            assert_eq!(verdict(&rules, 1, asked).expect("a verdict"), meant, "family {family}");
        }
    }
    println!("sandbox: {forbidden} forbidden tries, all refused");
}
