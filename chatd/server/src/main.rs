//! The program `chat-server`: arguments, order of birth, exit codes. What it does is in the library.

mod args;
mod commands;

use std::process::ExitCode;
use std::time::SystemTime;

use chat_process::config::ConfigError;
use chat_process::inherit::Inherited;
use chat_process::logging::{self, Form, LevelHandle, Log, Target};
use chat_process::notify::Supervisor;
use chat_process::runtime::{self, Threads};
use chat_process::sandbox::{self, Confined, Kernel, Rules, SandboxError};
use chat_process::shutdown::{self, Event, Shutdown, Signals};
use chat_process::{descriptors, harden};
use chat_proto::display;
use chat_server::admin::init;
use chat_server::advice::{self, Asked};
use chat_server::config::{self, Config, Format, Layout};
use chat_server::listen::{Handed, HandedError};
use chat_server::running::Reread;
use chat_server::{Outside, Server, StartError, files, keys};
use clap::CommandFactory as _;

use args::{Args, ConfigVerb, ImportVerb, Init, Run, Verb};
use commands::{complain, say};

/// Files that must be able to be open: the store, listeners, sockets, and a connection.
const DESCRIPTORS: u64 = 40;

fn main() -> ExitCode {
    harden::harden();
    chat_link::install_provider();
    if chat_manual::shells::asked(commands::manual::VARIABLE, Args::command) {
        return ExitCode::SUCCESS;
    }
    let args: Args = chat_manual::environment::parsed();
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(Into::into);
    let layout = Layout::new(args.dir.as_deref(), args.config.as_deref()).with_credentials(credentials);
    act(&args, &layout).unwrap_or_else(|error| {
        let asked = Asked { program: program(&args), typed: typed(), config: &layout.config };
        let (text, next) = (display::cause(&advice::text(&error)).into_owned(), advice::next(&error, &asked));
        let said = match (args.json, next) {
            (true, next) => advice::json(&error, &text, next.as_deref()),
            (false, Some(next)) => format!("chat-server: {text}\n  next: {next}"),
            (false, None) => format!("chat-server: {text}"),
        };
        complain(&said);
        ExitCode::from(advice::code(&error))
    })
}

/// This program as it was called, for commands that go on from here.
fn program(args: &Args) -> String {
    let option = |name: &str, value: &Option<std::path::PathBuf>| {
        value
            .as_ref()
            .map_or_else(String::new, |path| format!(" --{name} {}", display::quoted(&path.to_string_lossy())))
    };
    format!("chat-server{}{}", option("dir", &args.dir), option("config", &args.config))
}

/// All that was typed, for a command that does the same as somebody else.
fn typed() -> String {
    let words = std::env::args_os().skip(1).map(|word| format!(" {}", display::quoted(&word.to_string_lossy())));
    format!("chat-server{}", words.collect::<String>())
}

fn act(args: &Args, layout: &Layout) -> anyhow::Result<ExitCode> {
    match &args.verb {
        Verb::Init(wanted) => make(args, layout, wanted),
        Verb::Run(wanted) => run(args, layout, wanted),
        Verb::Cert(verb) => commands::cert::act(args, layout, &load(layout)?, verb, &host_name(), &program(args)),
        Verb::Check(wanted) => commands::check::act(args, layout, wanted, &host_name(), &program(args)),
        Verb::Config(ConfigVerb::Default) => commands::config::default(args, layout),
        Verb::Config(ConfigVerb::Show { effective }) => commands::config::show(args, &load(layout)?, *effective),
        Verb::Config(ConfigVerb::Diff) => commands::config::diff(args, &load(layout)?),
        Verb::Man(wanted) => commands::manual::man(wanted),
        Verb::Schema(wanted) => commands::manual::schema(wanted),
        Verb::Completions(wanted) => commands::manual::completions(wanted),
        Verb::Invite(verb) => commands::invite::act(args, &load(layout)?, verb),
        Verb::Status(wanted) => commands::daemon::status(args, &reachable(layout)?, wanted, &program(args)),
        Verb::Top => commands::daemon::top(args, &reachable(layout)?),
        Verb::Reload => commands::daemon::reload(args, &reachable(layout)?),
        Verb::Stop(wanted) => commands::daemon::stop(args, &reachable(layout)?, wanted),
        Verb::Log(verb) => commands::daemon::log(args, &reachable(layout)?, verb),
        Verb::Backup(verb) => commands::backup::act(args, &load(layout)?, verb),
        Verb::Restore(wanted) => {
            let config = load(layout).ok();
            commands::backup::put_back(args, layout, config.as_ref(), wanted, &host_name(), &program(args))
        }
        Verb::Db(verb) => commands::db::act(args, &load(layout)?, verb, &program(args)),
        Verb::User(verb) => commands::user::act(args, &load(layout)?, verb),
        Verb::Sessions(sessions) => commands::session::act(args, &load(layout)?, sessions.verb.as_ref()),
        Verb::Announce(announce) => commands::session::announce(args, &load(layout)?, &announce.text),
        Verb::Import(ImportVerb::Credentials(wanted)) => commands::import::act(args, &load(layout)?, wanted),
        Verb::Export(verb) => commands::export::act(&load(layout)?, verb),
    }
}

fn load(layout: &Layout) -> Result<Config, ConfigError> {
    config::load(layout, &host_name())
}

/// The configuration, or where nothing can be made of it one that knows where the server usually is: what looks at a running
/// server, mends or ends it must not need a good file.
fn reachable(layout: &Layout) -> Result<Config, ConfigError> {
    load(layout).or_else(|_| config::usual(layout, &host_name()))
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn make(args: &Args, layout: &Layout, wanted: &Init) -> anyhow::Result<ExitCode> {
    let host_name = host_name();
    let wanted =
        init::Wanted { layout, name: wanted.name.as_deref(), host_name: &host_name, self_signed: wanted.self_signed };
    let print = runtime::build(Threads::One, "chat-server")?.block_on(init::init(&wanted))?;
    let file = layout.config.display();
    if args.json {
        return say(&format!(
            r#"{{"v":1,"type":"init","config":{},"fingerprint":"{print}"}}"#,
            serde_json::to_string(&file.to_string())?
        ));
    }
    let program = program(args);
    let start =
        if by_service(layout) { "systemctl enable --now chat-server".to_owned() } else { format!("{program} run") };
    let next = if wanted.self_signed {
        format!("next: {start}")
    } else {
        format!("next: put certificate and key where the config says (or: {program} cert self-signed), then: {start}")
    };
    say(&format!("config {file}, server key {print}\n{next}"))
}

/// Whether systemd is to run the server that is made here.
fn by_service(layout: &Layout) -> bool {
    let there = |path: &str| std::path::Path::new(path).exists();
    let units = ["/usr/lib/systemd/system", "/usr/local/lib/systemd/system", "/etc/systemd/system"];
    !layout.own
        && there("/run/systemd/system")
        && units.iter().any(|units| there(&format!("{units}/chat-server.service")))
}

fn run(args: &Args, layout: &Layout, wanted: &Run) -> anyhow::Result<ExitCode> {
    descriptors::take(DESCRIPTORS)?;
    let classic = wanted.classic.meant();
    if classic.is_asked_for() {
        begin(args, layout)?;
    }
    let reread = {
        let (layout, listen) = (layout.clone(), wanted.listen.clone());
        move || {
            let mut config = match classic.is_asked_for() {
                true => config::classic::load(&layout, &host_name(), &classic)?,
                false => load(&layout)?,
            };
            if !listen.is_empty() {
                config.listen.clone_from(&listen);
            }
            Ok(config)
        }
    };
    let config = reread()?;
    let handed = Inherited::of_process().map_err(HandedError::from).and_then(Handed::of).map_err(StartError::from)?;
    files::make_dir(&config.run, 0o750).map_err(StartError::from)?;
    files::give(&config.run, &config.data).map_err(StartError::from)?;
    files::become_owner(&config.data).map_err(StartError::from)?;
    let confined = confine(&config).map_err(StartError::from)?;
    let logging = logging::start(log(&config))?;
    sandbox::tell("the server", confined.as_ref().map(|(_, confined)| *confined));
    let supervisor = Supervisor::new(std::env::var_os("NOTIFY_SOCKET").is_some());
    runtime::build(Threads::Cores, "chat-server")?.block_on(serve(
        config,
        handed,
        supervisor,
        Box::new(reread),
        logging.level(),
        confined,
    ))
}

/// From here on this thread, and all that it starts, have no more than they need.
fn confine(config: &Config) -> Result<Option<(Rules, Confined)>, SandboxError> {
    if !chat_server::sandbox::is_wanted(config) {
        return Ok(None);
    }
    chat_server::sandbox::prepare(config);
    let rules = chat_server::sandbox::rules(config, std::env::var_os("NOTIFY_SOCKET").as_deref());
    let confined = sandbox::confine(&rules, Kernel::look())?;
    Ok(Some((rules, confined)))
}

/// The classic profile needs no `init`: an empty `--dir` gets everything that a server needs. Says the key that clients compare.
fn begin(args: &Args, layout: &Layout) -> anyhow::Result<()> {
    let fresh = layout.own && !layout.config.exists();
    let print = if fresh {
        let host_name = host_name();
        let wanted = init::Wanted { layout, name: None, host_name: &host_name, self_signed: true };
        runtime::build(Threads::One, "chat-server")?.block_on(init::init(&wanted))?
    } else {
        keys::load(&load(layout)?.data)?.identity.id().fingerprint()
    };
    if fresh {
        say(&format!("made {} and a self-signed certificate", layout.config.display()))?;
    }
    say(&format!("classic profile; server key {print} ({} cert fingerprint)", program(args)))?;
    Ok(())
}

fn log(config: &Config) -> Log {
    let form = match config.keys.log.format {
        Format::Text => Form::Text,
        _ if logging::stderr_is_journal() => Form::Journal { name: "chat-server" },
        Format::Journal => Form::Priorities,
        Format::Auto => Form::Text,
    };
    Log { level: chat_server::level(config), target: Target::Stderr { form }, clock: SystemTime::now }
}

/// From the first listener to the last word.
async fn serve(
    config: Config,
    handed: Handed,
    supervisor: Supervisor,
    reread: Reread,
    level: LevelHandle,
    sandbox: Option<(Rules, Confined)>,
) -> anyhow::Result<ExitCode> {
    let shutdown = Shutdown::new();
    let mut signals = shutdown::signals(&shutdown)?;
    let outside = Outside { shutdown, supervisor, reread, level: Some(level), handed, sandbox };
    let server = Server::start(config, outside).await?;
    for address in server.addresses() {
        say(&format!("listening on {address}"))?;
    }
    for key in server.running().unheeded_keys() {
        tracing::warn!(key, "does not count: the service manager listens elsewhere; chat-server check net");
    }
    supervisor.ready();
    let mut grace = chat_server::DRAIN;
    let failed = tokio::select! {
        () = obey(&mut signals, &server, supervisor) => None,
        asked = server.running().asked_to_stop() => {
            grace = asked;
            None
        }
        error = server.failed() => Some(error),
    };
    if let Some(error) = failed {
        // The next start looks at what is on the disk; nothing that is in memory may be believed (E2).
        tracing::error!(%error, "the store failed; the server ends");
        return Err(StartError::from(error).into());
    }
    supervisor.stopping();
    tokio::select! {
        () = server.stop_within(grace) => {}
        () = hurried(&mut signals) => tracing::warn!("ended at once"),
    }
    Ok(ExitCode::SUCCESS)
}

/// Follows the signals until one says stop.
async fn obey(signals: &mut Signals, server: &Server, supervisor: Supervisor) {
    loop {
        match signals.next().await {
            Event::Stop | Event::StopNow => return,
            Event::State => tracing::info!("{}", server.running().summary().await),
            Event::Reload => {
                supervisor.reloading();
                reload(server).await;
                supervisor.ready();
            }
        }
    }
}

/// SIGHUP: what came of it is in the log.
async fn reload(server: &Server) {
    match server.running().reload().await {
        Ok(done) => {
            tracing::info!(changed = done.changed.join(" "), "configuration and certificate were read anew");
            if !done.restart.is_empty() {
                tracing::warn!(keys = done.restart.join(" "), "these keys count from the next start");
            }
        }
        Err(error) => tracing::error!(%error, "the old settings stay in force"),
    }
}

async fn hurried(signals: &mut Signals) {
    while signals.next().await != Event::StopNow {}
}
