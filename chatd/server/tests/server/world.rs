//! A server in a fresh directory.

use std::net::SocketAddr;
use std::path::PathBuf;

use chat_process::notify::Supervisor;
use chat_process::shutdown::Shutdown;
use chat_proto::id::ServerId;
use chat_server::admin::init::{self, Wanted};
use chat_server::config::{self, Config, Layout};
use chat_server::listen::Handed;
use chat_server::{Outside, Server, keys};
use tempfile::TempDir;

use crate::client::Client;

pub const PASSWORD: &str = "correct horse  battery";

pub struct World {
    pub server: Option<Server>,
    pub id: ServerId,
    pub address: SocketAddr,
    config: Config,
    layout: Layout,
    _dir: Option<TempDir>,
}

impl World {
    /// A server without rate limits.
    pub async fn start() -> World {
        World::with("").await
    }

    /// A server with these settings besides the usual ones.
    pub async fn with(settings: &str) -> World {
        World::make("", settings).await
    }

    /// A server with the shipped classic profile and these settings.
    pub async fn classic(settings: &str) -> World {
        World::make(config::classic::PROFILE, settings).await
    }

    async fn make(profile: &str, settings: &str) -> World {
        let (mut world, _) = World::prepared(profile, settings).await;
        world.restart().await;
        world
    }

    /// What [`World::with`] would start, not started, and its directory: for the program.
    pub async fn stopped(settings: &str) -> (World, PathBuf) {
        World::prepared("", settings).await
    }

    async fn prepared(profile: &str, settings: &str) -> (World, PathBuf) {
        chat_link::install_provider();
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(Some(dir.path()), None);
        let wanted = Wanted { layout: &layout, name: None, host_name: "localhost", self_signed: true };
        init::init(&wanted).await.unwrap();
        let config = configure(&layout, profile, settings);
        let id = keys::load(&config.data).unwrap().identity.id();
        let (path, address) = (dir.path().to_owned(), ([127, 0, 0, 1], 0).into());
        (World { server: None, id, address, config, layout, _dir: Some(dir) }, path)
    }

    /// The same server, reached at another address.
    pub fn at(&self, address: SocketAddr) -> World {
        World {
            server: None,
            id: self.id,
            address,
            config: self.config.clone(),
            layout: self.layout.clone(),
            _dir: None,
        }
    }

    /// What the operator's verbs read.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// SIGTERM's way out, and a new start on the same data.
    pub async fn restart(&mut self) {
        self.stop().await;
        let server = start(&self.config, &self.layout).await;
        self.address = server.addresses()[0];
        self.server = Some(server);
    }

    pub async fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop().await;
        }
    }

    /// A registered person with an open session.
    pub async fn user(&self, name: &str) -> Client {
        let mut client = Client::connect(self).await;
        client.register(name, PASSWORD).await.unwrap();
        client.hello().await;
        client
    }

    /// How often something came out like this, as monitoring sees it: `sessions_ended`, `logout`.
    pub fn counted(&self, what: &str, outcome: &str) -> u64 {
        let text = self.server.as_ref().unwrap().running().gateway.metrics.text().unwrap();
        let line = format!("{what}_total{{outcome=\"{outcome}\"}} ");
        text.lines().find_map(|text| text.split_once(&line)?.1.parse().ok()).unwrap_or_default()
    }

    /// Other settings besides the usual ones; they count when they are read anew.
    pub fn set(&self, settings: &str) {
        std::fs::write(self.layout.config.with_extension("d").join("2.toml"), settings).unwrap();
    }
}

async fn start(config: &Config, layout: &Layout) -> Server {
    let layout = layout.clone();
    let reread = Box::new(move || config::load(&layout, "localhost"));
    let outside = Outside {
        shutdown: Shutdown::new(),
        supervisor: Supervisor::new(false),
        reread,
        level: None,
        handed: Handed::default(),
        sandbox: None,
    };
    Server::start(config.clone(), outside).await.unwrap()
}

/// The file that `init` wrote, and a drop-in with what this test wants.
fn configure(layout: &Layout, profile: &str, settings: &str) -> Config {
    let folder = layout.config.with_extension("d");
    std::fs::create_dir(&folder).unwrap();
    let usual = "listen = [\"127.0.0.1:0\"]\n[storage]\nreserve = 0\n[limits]\nmessages_per_second = 0\n\
                 password_logins_per_minute_per_source = 0\nnew_accounts_per_hour_per_source = 0\n\
                 unknown_recipients_per_hour = 0\nbroadcasts_per_minute = 0\nprivate_requests_per_minute = 0\n";
    std::fs::write(folder.join("1.toml"), usual).unwrap();
    std::fs::write(folder.join("2.toml"), profile).unwrap();
    std::fs::write(folder.join("3.toml"), settings).unwrap();
    config::load(layout, "localhost").unwrap()
}
