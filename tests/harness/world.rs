//! A world: one server and its people in a fresh directory; everything ends and goes when it is dropped.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;

use crate::process;
use crate::rng::Rng;
use crate::server::Server;
use crate::tidy::tidy;
use crate::{Build, Home, Output};

/// The password of everyone in a test world; blanks belong to it (mission rule: passwords are opaque).
pub const PASSWORD: &str = "correct horse  battery";

/// Server, people, a seeded generator.
pub struct World {
    /// The server.
    pub server: Server,
    /// Random choices of this test.
    pub rng: Rng,
    homes: Vec<Arc<Home>>,
    // last: the directory goes after the processes in it
    dir: TempDir,
}

impl World {
    /// A server with default rules, without rate limits.
    pub fn start() -> World {
        World::with(&[])
    }

    /// A server with these settings: table, key, value as TOML.
    pub fn with(settings: &[(&str, &str, &str)]) -> World {
        World::around(|dir| Server::start(dir, settings))
    }

    /// A server of an earlier build.
    pub fn of(build: &Build) -> World {
        World::around(|dir| Server::start_of(build.clone(), dir, &[]))
    }

    /// A server that `make` puts into the directory it is given.
    pub fn around(make: impl FnOnce(PathBuf) -> Server) -> World {
        // short: the path of a local socket has at most 107 bytes
        let dir = tempfile::Builder::new().prefix("ct-").tempdir_in("/tmp").expect("/tmp can be written");
        let server = make(dir.path().join("s"));
        fs::write(dir.path().join("password"), format!("{PASSWORD}\n")).expect("a fresh file");
        World { server, rng: Rng::from_environment(), homes: Vec::new(), dir }
    }

    /// A server with the shipped classic profile and these settings.
    pub fn classic(settings: &[(&str, &str, &str)]) -> World {
        World::around(|dir| Server::classic(dir, settings))
    }

    /// A path in the world's directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A file with this content; its path as an argument.
    pub fn file(&self, name: &str, content: &[u8]) -> String {
        let path = self.path(name);
        fs::write(&path, content).expect("a file in the world's directory");
        path.display().to_string()
    }

    /// The file with everyone's password.
    pub fn password_file(&self) -> String {
        self.path("password").display().to_string()
    }

    /// An empty home with a running chatd.
    pub fn home(&mut self, user: &str, name: &str) -> Arc<Home> {
        let home = self.bare(user, name);
        home.up();
        home
    }

    /// An empty home without a daemon.
    pub fn bare(&mut self, user: &str, name: &str) -> Arc<Home> {
        let home = Arc::new(Home::new(user, self.path(name)));
        self.homes.push(Arc::clone(&home));
        home
    }

    /// A registered person, logged in on a first device.
    #[track_caller]
    pub fn user(&mut self, name: &str) -> Arc<Home> {
        let home = self.home(name, name);
        self.register(&home, &[]).ok();
        home
    }

    /// A further device of a person, logged in.
    #[track_caller]
    pub fn device(&mut self, name: &str, number: u32) -> Arc<Home> {
        let home = self.home(name, &format!("{name}{number}"));
        self.login(&home).ok();
        home
    }

    /// `chatctl register` for the home's person at this world's server.
    pub fn register(&self, home: &Home, more: &[&str]) -> Output {
        self.enter(home, "register", more)
    }

    /// `chatctl login` by password.
    pub fn login(&self, home: &Home) -> Output {
        self.enter(home, "login", &[])
    }

    fn enter(&self, home: &Home, verb: &str, more: &[&str]) -> Output {
        let (server, file) = (self.server.address().to_string(), self.password_file());
        let mut args = vec![verb, home.user(), "--server", &server, "--trust", self.server.fingerprint(), "--no-input"];
        args.extend_from_slice(more);
        if !more.iter().any(|arg| arg.starts_with("--password")) {
            args.extend_from_slice(&["--password-file", &file]);
        }
        home.run(&args)
    }
}

impl World {
    /// What the daemons wrote down is in words too. The words of earlier builds are their own.
    fn logs_are_tidy(&self) {
        let program = std::env::current_exe().unwrap_or_default();
        if program.file_name().is_some_and(|name| name.to_string_lossy().starts_with("upgrade")) {
            return;
        }
        let own = |home: &Arc<Home>| home.dir().join("state/chatd.log");
        let homes = self.homes.iter().flat_map(|home| [home.log(), own(home)]);
        for log in homes.chain([self.server.log()]) {
            let text = fs::read(&log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
            tidy(&log.display().to_string(), &text);
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed of this run: CHAT_SEED={}", self.rng.seed());
            eprintln!("--- chat-server\n{}", process::tail(&self.server.log(), 60));
            for home in &self.homes {
                let own = home.dir().join("state/chatd.log");
                eprintln!(
                    "--- chatd of {}\n{}\n{}",
                    home.dir().display(),
                    process::tail(&home.log(), 60),
                    process::tail(&own, 60)
                );
            }
        }
        self.server.kill();
        for home in &self.homes {
            home.clear();
        }
        if !std::thread::panicking() {
            self.logs_are_tidy();
        }
    }
}
