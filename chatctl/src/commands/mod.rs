//! The commands, one file per noun, and what all of them share: the flags, the output, the way to chatd and the deadline.

pub mod account;
pub mod config;
pub mod daemon;
pub mod device;
pub mod doctor;
pub mod events;
pub mod file;
pub mod help;
pub mod hooks;
pub mod message;
pub mod outbox;
pub mod people;
pub mod private;
pub mod read;
pub mod rpc;
pub mod run;
pub mod search;
pub mod trace;
pub mod unread;

use std::cell::{Cell, RefCell};
use std::io::IsTerminal;
use std::rc::Rc;
use std::time::Duration;

use chat_proto::control::config::{Profile, ProfileList};
use chat_proto::control::{Call, ErrorData};
use chat_proto::fault::Code;
use tokio::time::{Instant, sleep_until};

use crate::args::{Cli, Global, Status, Verb};
use crate::daemon::{CallError, Daemon, NoDaemon, is_older};
use crate::exit::Exit;
use crate::output::{End, Output};
use crate::paths::Places;
use crate::prompt::Prompt;
use crate::time::milliseconds;
use crate::words::{self, troubles};

/// The profile that register and login make when none is named.
const FIRST_PROFILE: &str = "default";

/// What is waited for, and stays as it is after Ctrl-C.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waited {
    /// A message, by its key.
    Message(String),
    /// A private request to this user.
    Request(String),
    /// The connection of a private session with this user.
    Session(String),
    /// A file, by its id.
    File(String),
}

/// What is waited for now, for the words after Ctrl-C.
pub type Underway = Rc<RefCell<Option<Waited>>>;

/// Resolves at this moment; never where there is none.
async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// True while a session takes Ctrl-C itself: it ends a line or a command, not the program.
pub type Session = Rc<Cell<bool>>;

/// Everything that a command has to work with.
pub struct Context {
    /// The global flags.
    pub global: Global,
    /// Where results go.
    pub out: Output,
    /// Whom to ask.
    pub prompt: Prompt,
    /// See [`Underway`].
    pub underway: Underway,
    /// See [`Session`].
    pub session: Session,
    deadline: Instant,
    daemon: Option<Daemon>,
}

/// Runs what was typed.
pub async fn run(cli: Cli, out: Output, underway: Underway, session: Session) -> Result<(), End> {
    let prompt = Prompt::of_process(cli.global.no_input, cli.global.yes);
    let deadline = Instant::now() + cli.global.timeout;
    let mut context = Context { global: cli.global, out, prompt, underway, session, deadline, daemon: None };
    dispatch(&mut context, cli.verb).await
}

/// Runs a command; none: the status and everyday commands.
pub async fn dispatch(ctx: &mut Context, verb: Option<Verb>) -> Result<(), End> {
    match verb {
        None => everyday(ctx).await,
        Some(Verb::Register(args)) => account::register(ctx, args).await,
        Some(Verb::Login(args)) => account::login(ctx, args).await,
        Some(Verb::Logout(args)) => account::logout(ctx, args).await,
        Some(Verb::Status(args)) => account::status(ctx, args).await,
        Some(Verb::Passwd(args)) => account::passwd(ctx, args).await,
        Some(Verb::Device(args)) => device::device(ctx, args).await,
        Some(Verb::Profile(args)) => config::profile(ctx, args).await,
        Some(Verb::Trust(args)) => config::trust(ctx, args).await,
        Some(Verb::Message(args)) => message::message(ctx, args).await,
        Some(Verb::Broadcast(args)) => message::broadcast(ctx, args).await,
        Some(Verb::Show(args)) => message::show(ctx, args).await,
        Some(Verb::Outbox(args)) => outbox::outbox(ctx, args).await,
        Some(Verb::Inbox(args)) => read::inbox(ctx, args).await,
        Some(Verb::Read(args)) => read::read(ctx, args).await,
        Some(Verb::Search(args)) => search::search(ctx, args).await,
        Some(Verb::Export(args)) => search::export(ctx, args).await,
        Some(Verb::Unread(args)) => unread::unread(ctx, args).await,
        Some(Verb::Watch(args)) => events::watch(ctx, args).await,
        Some(Verb::Ack(args)) => events::ack(ctx, args).await,
        Some(Verb::Cursor(args)) => events::cursor(ctx, args).await,
        Some(Verb::Rpc) => rpc::rpc(ctx).await,
        Some(Verb::Call(args)) => rpc::call(ctx, args).await,
        Some(Verb::Whoelse(args)) => people::whoelse(ctx, args).await,
        Some(Verb::Whoelsesince(args)) => people::whoelsesince(ctx, args).await,
        Some(Verb::Block(args)) => people::block(ctx, args).await,
        Some(Verb::Unblock(args)) => people::unblock(ctx, args).await,
        Some(Verb::Blocked) => people::blocked(ctx).await,
        Some(Verb::Startprivate(args)) => private::startprivate(ctx, args).await,
        Some(Verb::Requests(args)) => private::requests(ctx, args).await,
        Some(Verb::Accept(args)) => private::accept(ctx, args).await,
        Some(Verb::Decline(args)) => private::decline(ctx, args).await,
        Some(Verb::Private(args)) => private::private(ctx, args).await,
        Some(Verb::Stopprivate(args)) => private::stopprivate(ctx, args).await,
        Some(Verb::Sessions(args)) => private::sessions(ctx, args).await,
        Some(Verb::File(args)) => file::file(ctx, args).await,
        Some(Verb::Daemon(args)) => daemon::run(ctx, args).await,
        Some(Verb::Doctor(args)) => doctor::doctor(ctx, args).await,
        Some(Verb::Config(args)) => config::config(ctx, args).await,
        Some(Verb::Trace(args)) => trace::trace(ctx, args).await,
        Some(Verb::Run(args)) => run::run(ctx, args).await,
        Some(Verb::Hooks(args)) => hooks::hooks(ctx, args).await,
        Some(Verb::Shell(args)) => crate::shell::run(ctx, args).await,
        Some(Verb::Help(args)) => help::help(ctx, &args),
        Some(Verb::Man(args)) => help::man(ctx, &args),
        Some(Verb::Schema(args)) => help::schema(ctx, &args),
        Some(Verb::Completions(args)) => help::completions(ctx, &args),
    }
}

/// The profile to act for where none is named: the default, else the only one, else the first one's name; nothing where several
/// could be meant.
pub fn default_profile(profiles: &[Profile]) -> Option<&str> {
    match (profiles.iter().find(|profile| profile.default), profiles) {
        (Some(profile), _) | (None, [profile]) => Some(&profile.name),
        (None, several) if several.iter().all(|profile| profile.name != FIRST_PROFILE) && !several.is_empty() => None,
        (None, _) => Some(FIRST_PROFILE),
    }
}

async fn everyday(ctx: &mut Context) -> Result<(), End> {
    let outcome = account::status(ctx, Status::default()).await;
    // Help is there also where chatd is not.
    ctx.out.note(words::EVERYDAY);
    outcome
}

impl Context {
    /// Where chatd and its files are.
    pub fn places(&self) -> Result<Places, End> {
        Ok(Places::find(&self.global)?)
    }

    /// The deadline of the call that comes next.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Starts the deadline again: the time that a person takes to answer does not count.
    pub fn restart_clock(&mut self) {
        self.deadline = Instant::now() + self.global.timeout;
    }

    /// Gives the call that comes next so much time at least.
    pub fn extend_clock(&mut self, time: Duration) {
        self.deadline = self.deadline.max(Instant::now() + time);
    }

    /// Time left, as requests carry it.
    pub fn timeout_ms(&self) -> u64 {
        let left = self.deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        milliseconds(left)
    }

    /// The conversation with chatd, which is started when it is not there.
    pub async fn daemon(&mut self) -> Result<&mut Daemon, End> {
        let daemon = match self.daemon.take() {
            Some(daemon) => daemon,
            None => self.connect().await?,
        };
        Ok(self.daemon.insert(daemon))
    }

    async fn connect(&mut self) -> Result<Daemon, End> {
        let places = self.places()?;
        let daemon = match Daemon::connect(&places.sockets(), self.deadline, &self.out.clock).await {
            Ok(daemon) => daemon,
            Err(NoDaemon::Unusable(trouble)) => return Err(trouble.into()),
            Err(NoDaemon::Absent) if self.global.no_autostart => return Err(troubles::not_running().into()),
            Err(NoDaemon::Absent) => {
                let daemon = crate::spawn::start(&places, &self.out.clock).await?;
                self.restart_clock();
                daemon
            }
        };
        self.note_age(&daemon);
        Ok(daemon)
    }

    /// Gives the conversation away, to a command that goes on with it alone.
    pub fn take_daemon(&mut self) -> Option<Daemon> {
        self.daemon.take()
    }

    /// Dials once, starts nothing; nothing when chatd is not there.
    pub async fn dial(&mut self) -> Result<Option<Daemon>, End> {
        let places = self.places()?;
        match Daemon::connect(&places.sockets(), self.deadline, &self.out.clock).await {
            Ok(daemon) => Ok(Some(daemon)),
            Err(NoDaemon::Absent) => Ok(None),
            Err(NoDaemon::Unusable(trouble)) => Err(trouble.into()),
        }
    }

    fn note_age(&self, daemon: &Daemon) {
        let build = &daemon.hello.build;
        if is_older(build, env!("CARGO_PKG_VERSION")) && std::io::stderr().is_terminal() {
            self.out.note(&words::older_daemon(build));
        }
    }

    /// Calls chatd; a refusal ends the command.
    pub async fn call<C: Call>(&mut self, params: &C) -> Result<C::Reply, End> {
        let outcome = self.try_call(params).await?;
        outcome.map_err(|error| self.refused(error))
    }

    /// Calls chatd; the command decides what a refusal means.
    pub async fn try_call<C: Call>(&mut self, params: &C) -> Result<Result<C::Reply, CallError>, End> {
        let deadline = self.deadline;
        Ok(self.daemon().await?.call(params, deadline).await)
    }

    /// The end that a refused call is.
    pub fn refused(&self, error: CallError) -> End {
        match error {
            CallError::Refused(data) if self.has_no_account(&data) => troubles::no_account().into(),
            error => error.trouble(&self.out.clock).into(),
        }
    }

    /// Whether a refusal means that there is no account yet: no profile was named, and the one that there would be was never logged in.
    pub fn has_no_account(&self, data: &ErrorData) -> bool {
        self.named_profile().is_none() && never_logged_in(data)
    }

    /// `--profile`, where it was given.
    pub fn named_profile(&self) -> Option<&str> {
        self.global.profile.as_deref().filter(|name| !name.is_empty())
    }

    /// The profile to act for: the one named, else the default, else the only one. Where there is none, the name of the first one:
    /// chatd says then that it is unknown.
    pub async fn profile(&mut self) -> Result<String, End> {
        if let Some(name) = self.named_profile() {
            return Ok(name.to_owned());
        }
        let profiles = self.call(&ProfileList {}).await?.items;
        default_profile(&profiles).map(str::to_owned).ok_or_else(|| troubles::which_profile().into())
    }

    /// The profile of a new account: the one named, else the default one, else the first one's name.
    pub async fn profile_to_make(&mut self) -> Result<String, End> {
        if let Some(name) = self.named_profile() {
            return Ok(name.to_owned());
        }
        let profiles = self.call(&ProfileList {}).await?.items;
        let default = profiles.into_iter().find(|profile| profile.default);
        Ok(default.map_or_else(|| FIRST_PROFILE.to_owned(), |profile| profile.name))
    }

    /// The end of a list: with `--exit-code` an empty one is a no.
    pub fn listed(&self, empty: bool) -> Result<(), End> {
        if empty && self.global.exit_code { Err(End::Quiet(Exit::No)) } else { Ok(()) }
    }
}

/// Whether a refusal says that the profile was never logged in: chatd names it then, and knows of no login that ended.
pub fn never_logged_in(data: &ErrorData) -> bool {
    match data.code {
        Code::UNKNOWN_PROFILE => true,
        Code::NOT_LOGGED_IN => data.subject.is_some() && data.ended.is_none(),
        _ => false,
    }
}
