//! chatd's birth: arguments, configuration, background, logging, runtime; then `chatd::run`. It alone ends the process.

#[cfg(unix)]
#[path = "main/unix.rs"]
mod system;
#[cfg(windows)]
#[path = "main/windows.rs"]
mod system;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use chat_local::directory::{Directory, OpenError};
use chat_local::listener::{BindError, Listener};
use chat_local::lock::Lock;
use chat_local::mend;
use chat_local::paths::{self, Layout};
use chat_local::refusal::cannot_use;
use chat_manual::environment;
use chat_manual::pages::{self, Manual};
use chat_process::background::{self, Readiness, Role};
use chat_process::config::ConfigError;
use chat_process::inherit::{Inherited, Socket};
use chat_process::logging::{self, Form, Log, Logging, Target};
use chat_process::notify::Supervisor;
use chat_process::runtime::{self, Threads};
use chat_process::sandbox::{self, Confined, Kernel};
use chat_process::shutdown::{self, Event, Shutdown};
use chat_process::watchdog::{self, Workers};
use chat_process::{descriptors, exit, harden};
use chat_proto::display;
use chatd::config::{Config, KEYS};
use chatd::sandbox::Surroundings;
use chatd::{RunError, Setup, runner};
use clap::{CommandFactory as _, Parser};
use tracing::level_filters::LevelFilter;

/// Log files kept, one a day.
const LOGS_KEPT: usize = 7;
/// Bytes of log a day.
const LOG_BYTES: u64 = 16 * 1024 * 1024;
/// Files that must be able to be open: the socket and a caller, a history, the link to a server.
const DESCRIPTORS: u64 = 32;
/// Whoever started chatd waits so long for it to serve.
const READY_WITHIN: Duration = Duration::from_secs(20);

/// The per-user chat daemon: holds connections, outbox and history of all profiles. Goes into the background unless told not to.
#[derive(Debug, Parser)]
#[command(name = "chatd", version)]
struct Args {
    /// Stay in the foreground and log to stderr.
    #[arg(long)]
    foreground: bool,
    /// Keep everything (config, data, state, socket) under this directory.
    #[arg(long, value_name = "DIR")]
    home: Option<PathBuf>,
    /// Read this configuration file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Listen on this socket.
    #[arg(long, value_name = "PATH", env = "CHAT_SOCKET", hide_env_values = true)]
    socket: Option<PathBuf>,
    /// Log this much: off, error, warn, info, debug, trace.
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<LevelFilter>,
    /// Read the configuration, say whether it is right, and end.
    #[arg(long)]
    check: bool,
    /// Remove the socket that a chatd which was killed has left, and end; a unit does so before systemd listens there.
    #[arg(long, hide = true)]
    sweep: bool,
    /// Be the process that does for a confined chatd what it no longer may; only chatd starts it.
    #[arg(long, hide = true)]
    runner: bool,
    /// Be the process in the background; only chatd starts it.
    #[cfg(windows)]
    #[arg(long, hide = true)]
    detached: bool,
    /// Print the keys of the configuration with their defaults and meanings, between tabs, and end.
    #[arg(long)]
    keys: bool,
    /// Write the pages chatd(1) and chat-config(5) of the manual into man1 and man5 under this directory, and end.
    #[arg(long, value_name = "DIR")]
    man: Option<PathBuf>,
}

/// What ends the process: an exit code and a text for whoever started it.
struct Failure {
    code: u8,
    text: String,
}

impl Failure {
    /// `next` is the command to run then.
    fn new(code: u8, error: impl std::fmt::Display, next: &str) -> Failure {
        Failure { code, text: format!("chatd: {}\n  next: {next}", display::cause(&error.to_string())) }
    }

    /// What the system refuses: doctor looks for the reason.
    fn system(code: u8, error: impl std::fmt::Display) -> Failure {
        Failure::new(code, error, "chatctl doctor")
    }
}

fn main() -> ExitCode {
    harden::harden();
    chat_link::install_provider();
    let args: Args = environment::parsed();
    if args.runner {
        return chatd::runner::serve();
    }
    match start(&args) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            // Where stderr is closed there is nobody left to tell.
            let _ = writeln!(io::stderr(), "{}", failure.text);
            ExitCode::from(failure.code)
        }
    }
}

/// Everything before the fork: one thread.
fn start(args: &Args) -> Result<u8, Failure> {
    if args.keys {
        let lines = KEYS.iter().map(|key| format!("{}\t{}\t{}\n", key.name, key.default, key.about));
        return say(&lines.collect::<String>());
    }
    if let Some(dir) = &args.man {
        let cannot =
            |error| Failure::system(exit::CANNOT_CREATE, format!("cannot write below {}: {error}", dir.display()));
        return manual(dir).map(|()| exit::OK).map_err(cannot);
    }
    let layout = layout(args)?;
    if args.sweep {
        return sweep(&socket(args, &layout, None), &layout);
    }
    let file = args.config.clone().unwrap_or_else(|| layout.config_file());
    let config = Config::load(&file, args.config.is_some()).map_err(|error| bad_config(&error, &file))?;
    if args.check {
        return say(&format!("{}: ok\n", file.display()));
    }
    descriptors::take(DESCRIPTORS).map_err(|few| Failure::new(exit::OS, few, system::MORE_FILES))?;
    Directory::create(&layout.state).map_err(|error| cannot_open(&error))?;
    if args.foreground {
        let given = Inherited::of_process();
        let given = given.map_err(|error| Failure::new(exit::CONFIG, error, "chatctl daemon start"))?;
        return serve(args, config, layout, given, Readiness::foreground());
    }
    let output = layout.state.join("chatd.err");
    let detached = background::detach(Some(&output), READY_WITHIN);
    match detached.map_err(|error| Failure::system(exit::OS, format!("cannot go into the background: {error}")))? {
        Role::Parent(verdict) => {
            let (code, text) = verdict.exit();
            text.map_or(Ok(code), |text| Err(Failure { code, text }))
        }
        Role::Child(readiness) => serve(args, config, layout, Inherited::default(), readiness),
    }
}

/// The pages of the manual: chatd itself, and the keys of its configuration.
fn manual(dir: &Path) -> io::Result<()> {
    let also = "chatctl(1), chat-config(5), chat-server(8)";
    let mut all = Manual::new(Args::command(), "1", also).pages()?;
    let keys = KEYS.iter().map(|key| format!("# {}\n{} = {}\n", key.about, key.name, key.default));
    let about = "the configuration of chatd";
    let description = "TOML. A key that is not there has the value shown; an unknown one is an error. chatd reads the file at its start. To \
                       change it, checked before it counts: chatctl config edit";
    all.push(pages::file("chat-config", about, description, &keys.collect::<Vec<_>>().join("\n")));
    all.iter().try_for_each(|page| page.write(dir))
}

fn layout(args: &Args) -> Result<Layout, Failure> {
    let layout = paths::Surroundings::of_process(args.home.clone()).layout();
    layout.map_err(|error| Failure::new(exit::CONFIG, error, "chatd --home DIR"))
}

/// A chatd that lives keeps its socket: it holds the lock, or it answers. So does whatever else has the name.
fn sweep(path: &Path, layout: &Layout) -> Result<u8, Failure> {
    // Chatctl holds this one while it starts a chatd, which would find the other lock taken: there is nothing left to sweep then.
    let starts = Directory::create(&layout.state)
        .and_then(|state| state.open_file(paths::SPAWN_LOCK_FILE, true))
        .map_err(|error| cannot_open(&error))?;
    if starts.try_lock().is_err() {
        return Ok(exit::OK);
    }
    match Lock::take(&layout.state).and_then(|lock| lock.sweep(path)) {
        Ok(()) | Err(BindError::AlreadyRunning { .. } | BindError::Occupied { .. }) => Ok(exit::OK),
        Err(error) => Err(cannot_listen(&error)),
    }
}

/// A result, on stdout. Nobody who listens any more is no error.
fn say(text: &str) -> Result<u8, Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::system(exit::IO, format!("cannot write the result: {error}")))
        }
        _ => Ok(exit::OK),
    }
}

/// A file that is wrong is edited; one that cannot be read is looked at.
fn bad_config(error: &ConfigError, file: &Path) -> Failure {
    let next = match std::fs::File::open(file).and_then(|file| file.metadata()) {
        Ok(there) if there.is_file() => "chatctl config edit".to_owned(),
        _ => mend::look(file),
    };
    Failure::new(exit::CONFIG, error, &next)
}

/// Everything behind the fork.
fn serve(args: &Args, config: Config, layout: Layout, given: Inherited, readiness: Readiness) -> Result<u8, Failure> {
    let mut readiness = Some(readiness);
    let outcome = try_serve(args, config, layout, given, &mut readiness);
    if let (Err(failure), Some(readiness)) = (&outcome, readiness.take()) {
        readiness.failed(failure.code, &failure.text);
    }
    outcome
}

fn try_serve(
    args: &Args,
    config: Config,
    layout: Layout,
    given: Inherited,
    readiness: &mut Option<Readiness>,
) -> Result<u8, Failure> {
    let given = given.into_iter().next().map(|(_, socket)| socket);
    let socket = socket(args, &layout, given.as_ref());
    let environment = inherited();
    let (runner, confined) = confine(&config, &layout, &socket, &environment)?;
    let level = args.log_level.or_else(|| config.log_level.as_deref()?.parse().ok()).unwrap_or(LevelFilter::INFO);
    let (_logging, log) = start_logging(args.foreground, level, &layout)?;
    sandbox::tell("chatd", confined);
    let runtime = runtime::build(Threads::One, "chatd");
    let runtime =
        runtime.map_err(|error| Failure::system(exit::OS, format!("the system refuses to run it: {error}")))?;
    let served = runtime.block_on(async {
        let listener = listen(&layout, &socket, given)?;
        let shutdown = Shutdown::new();
        let mut signals = shutdown::signals(&shutdown)
            .map_err(|error| Failure::system(exit::OS, format!("cannot hear signals: {error}")))?;
        let (host, boot_id, workers) = (host(), system::boot_id(), Workers::default());
        let watched = workers.clone();
        let setup = Setup { config, socket, log, host, boot_id, workers, environment, layout, confined, runner };
        let supervisor = Supervisor::new(std::env::var_os("NOTIFY_SOCKET").is_some());
        let ready = || {
            tracing::info!(version = env!("CARGO_PKG_VERSION"), "ready");
            supervisor.ready();
            readiness.take().into_iter().for_each(Readiness::ready);
        };
        tokio::spawn(watchdog::feed(supervisor, watched));
        tokio::spawn(async move {
            loop {
                if signals.next().await == Event::Stop {
                    supervisor.stopping();
                }
            }
        });
        chatd::run(listener, setup, shutdown, ready).await.map_err(|error| ended(&error))
    });
    // Threads that wait for a disk must not keep the process.
    runtime.shutdown_background();
    served.map(|()| exit::OK)
}

fn start_logging(foreground: bool, level: LevelFilter, layout: &Layout) -> Result<(Logging, Option<PathBuf>), Failure> {
    let form = if logging::stderr_is_journal() { Form::Journal { name: "chatd" } } else { Form::Text };
    let file = (!foreground).then(|| layout.log_file());
    let target = match &file {
        None => Target::Stderr { form },
        Some(_) => {
            Target::File { dir: layout.state.clone(), name: "chatd".into(), keep: LOGS_KEPT, max_bytes: LOG_BYTES }
        }
    };
    let logging = logging::start(Log { level, target, clock: SystemTime::now })
        .map_err(|error| Failure::system(exit::CANNOT_CREATE, error))?;
    Ok((logging, file))
}

/// Where the socket of the service manager is, or our own will be.
fn socket(args: &Args, layout: &Layout, given: Option<&Socket>) -> PathBuf {
    let named = given.and_then(system::path);
    named.or_else(|| args.socket.clone()).unwrap_or_else(|| layout.listen_path(Path::exists))
}

/// The socket of the service manager, or our own.
fn listen(layout: &Layout, path: &Path, given: Option<Socket>) -> Result<Listener, Failure> {
    let lock = Lock::take(&layout.state).map_err(|error| cannot_listen(&error))?;
    let listener = match given {
        Some(given) => system::adopt(lock, given),
        None => lock.bind(path),
    };
    listener.map_err(|error| cannot_listen(&error))
}

type Outside = (Option<runner::Begun>, Option<Confined>);

/// Starts the runner; from then on this thread, and all that it starts, have no more than they need.
fn confine(
    config: &Config,
    layout: &Layout,
    socket: &Path,
    environment: &[(String, String)],
) -> Result<Outside, Failure> {
    if !config.sandbox {
        return Ok((None, None));
    }
    if !cfg!(target_os = "linux") {
        return Ok((None, Some(Confined::default())));
    }
    let received = chatd::received(config, layout, environment);
    chatd::sandbox::prepare(layout, socket, &received);
    let runner = runner::begin(chatd::outside(config, layout, socket, environment))
        .map_err(|error| Failure::system(exit::OS, format!("its runner cannot be started: {error}")))?;
    let authorities = ["SSL_CERT_FILE", "SSL_CERT_DIR"].into_iter().filter_map(std::env::var_os);
    let authorities = authorities.flat_map(|paths| std::env::split_paths(&paths).collect::<Vec<_>>()).collect();
    let around = Surroundings { authorities, supervisor: std::env::var_os("NOTIFY_SOCKET") };
    let rules = chatd::sandbox::rules(layout, socket, &received, &around);
    let confined = sandbox::confine(&rules, Kernel::look()).map_err(|error| {
        let text = format!("{error}; without it chatd runs with sandbox = \"off\" in {}", config.source.0.display());
        Failure::new(exit::OS, text, "chatctl config set sandbox off")
    })?;
    Ok((Some(runner), Some(confined)))
}

fn cannot_listen(error: &BindError) -> Failure {
    match error {
        BindError::AlreadyRunning { .. } => Failure::new(exit::UNAVAILABLE, error, "chatctl daemon status"),
        BindError::BadDirectory(broken) => {
            Failure::new(exit::PERMISSION, error, &mend::mended(broken.rule, &broken.path))
        }
        BindError::ForeignSocket { path, .. } => Failure::new(exit::PERMISSION, error, &mend::look(path)),
        BindError::BadPath(_) | BindError::NotListening => Failure::new(exit::CONFIG, error, "chatctl config path"),
        BindError::Occupied { path, .. } => Failure::new(exit::CANNOT_CREATE, error, &system::freed(path)),
        BindError::Io { .. } => Failure::system(exit::CANNOT_CREATE, error),
    }
}

fn cannot_open(error: &OpenError) -> Failure {
    match error {
        OpenError::Unsafe(broken) => Failure::new(exit::PERMISSION, error, &mend::mended(broken.rule, &broken.path)),
        OpenError::Io { path, source } => Failure::system(exit::CANNOT_CREATE, cannot_use(path, source)),
    }
}

fn ended(error: &RunError) -> Failure {
    match error {
        RunError::State(error) => cannot_open(error),
        RunError::Storage(_) => Failure::system(exit::IO, error),
        RunError::Record(_) => Failure::system(exit::CANNOT_CREATE, error),
        RunError::Random(_) | RunError::Listener(_) | RunError::Runner(_) => Failure::system(exit::OS, error),
    }
}

/// What a hook may know of the environment.
fn inherited() -> Vec<(String, String)> {
    let inherited = |name: &&str| Some(((*name).to_owned(), std::env::var(name).ok()?));
    let mut found: Vec<_> = system::INHERITED.iter().filter_map(inherited).collect();
    // What the environment does not say, the user database does.
    if let (None, Some(home)) = (std::env::var_os("HOME"), std::env::home_dir()) {
        found.push(("HOME".to_owned(), home.to_string_lossy().into_owned()));
    }
    found
}

fn host() -> String {
    let name = system::host();
    if name.is_empty() { "device".to_owned() } else { name }
}
