//! The session of somebody who is logged in: takes lines, has them done, shows what happens, and ends with a code that says how.

use std::collections::BTreeMap;
use std::time::Duration;

use chat_proto::control::ErrorData;
use chat_proto::control::account::{LinkState, Problem, Status, StatusReply};
use chat_proto::control::events::{Event, Watch};
use chat_proto::control::message::{Inbox, MarkRead, Message, Page, Read, State};
use chat_proto::control::private::{
    Direction, EndReason, PrivateEnded, PrivateRequest, PrivateSession, RequestState, Requests, SessionState, Sessions,
};
use chat_proto::fault::Code;
use tokio::time::Instant;

use super::Entered;
use super::act::{Actor, Flow, ended_here, withdrawn_here};
use super::line::{self, Command};
use super::login::Entry;
use super::names::Names;
use super::question::Questions;
use super::screen::{self, Room, Screen};
use super::terminal::Signals;
use crate::commands::Context;
use crate::exit::Exit;
use crate::follow::Follow;
use crate::output::{End, Trouble};
use crate::words::{refusals, shell as words};

/// Unread messages that are shown at the start; more are only counted.
const WAITING_MAX: u64 = 100;
/// A message above the line that is being edited counts as read when somebody enters a line at least so much later.
const READING: Duration = Duration::from_secs(1);
/// Keys of own messages that are remembered as answered.
const ANSWERED_MAX: usize = 256;
/// Events that are shown at the end though nobody waits for them.
const LAST_EVENTS: usize = 1000;
/// The file of earlier lines, in the state directory.
const HISTORY_FILE: &str = "shell_history";

/// What a question is about.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Asked {
    /// Log out although messages wait.
    Unsent,
    /// A private request of this user.
    Private {
        /// Its id.
        id: String,
        /// Who asks.
        peer: String,
    },
}

impl Asked {
    fn is_of(&self, user: &str) -> bool {
        matches!(self, Asked::Private { peer, .. } if peer == user)
    }
}

/// How it goes on after a line.
type Outcome = Result<Flow, End>;

struct Session {
    screen: Screen,
    follow: Follow,
    profile: String,
    user: String,
    names: Names,
    questions: Questions<Asked>,
    /// The question that was shown last.
    presented: Option<Asked>,
    /// Private sessions that are open, by their ids.
    private: BTreeMap<String, PrivateSession>,
    answered: Vec<String>,
    /// Messages that were shown and are not marked as read yet: place in the history, and when.
    shown: Vec<(u64, Instant)>,
    /// The server keeps the exercise's rules.
    classic: bool,
    /// The link to the server, as far as is known.
    link: LinkState,
    /// The server is not reachable, and that was said.
    unlinked: bool,
    /// chatd is not there, and that was said.
    gone: bool,
    signals: Signals,
}

/// Runs it to its end.
pub async fn run(ctx: &mut Context, entry: Entry) -> Result<(), End> {
    let names = Names::default();
    let screen = match entry.lines {
        Some(lines) => lines,
        None if screen::is_terminal() => {
            let history = ctx.places()?.layout.state.join(HISTORY_FILE);
            Screen::terminal(&ctx.out, history, names.clone())?
        }
        None => Screen::plain(&ctx.out),
    };
    let request = Watch {
        profile: entry.profile.clone(),
        only: Vec::new(),
        from: None,
        since: None,
        cursor: None,
        after_index: None,
    };
    ctx.restart_clock();
    let follow = Follow::begin(ctx, request, true).await?.silent();
    let mut session = Session {
        screen,
        follow,
        profile: entry.profile,
        user: entry.status.user.clone(),
        names,
        questions: Questions::default(),
        presented: None,
        private: BTreeMap::new(),
        answered: Vec::new(),
        shown: Vec::new(),
        classic: entry.status.classic,
        link: entry.status.link,
        unlinked: entry.status.link == LinkState::Waiting,
        gone: false,
        signals: Signals::listen(),
    };
    ctx.session.set(session.screen.is_terminal());
    let ended = session.go(ctx, &entry.status).await;
    session.screen.close().await;
    match ended {
        // The dialogue is on stdout, and so is its end.
        Err(End::Said(trouble)) => {
            let next = trouble.hint(&ctx.out.chatctl);
            ctx.out.line(&words::refused(&trouble, next.as_deref()))?;
            Err(End::Quiet(trouble.exit))
        }
        ended => ended,
    }
}

impl Session {
    async fn go(&mut self, ctx: &mut Context, status: &StatusReply) -> Result<(), End> {
        if self.screen.is_terminal() {
            ctx.out.note(&words::greeting(status));
        }
        self.learn_names(ctx).await?;
        self.show_waiting(ctx, status).await?;
        self.look_at_private(ctx, true).await?;
        self.present(ctx, false)?;
        loop {
            let (prompt, room, terminal) = (self.prompt(), self.screen.room(), self.screen.is_terminal());
            let (flow, line_open) = tokio::select! {
                entered = self.screen.line(&prompt) => (self.entered(ctx, entered?).await?, false),
                step = next(&mut self.follow, ctx, &room) => (self.step(ctx, step?).await?, true),
                () = interrupt(terminal) => (self.screen.interrupted().map(|()| Flow::Go)?, true),
                exit = self.signals.next() => return Err(End::Quiet(exit)),
            };
            match flow {
                Flow::Go | Flow::Private(_) => {}
                Flow::AskUnsent(count) => self.questions.ask_first(Asked::Unsent, words::unsent(&count)),
                Flow::LoggedOut => return Ok(()),
                Flow::Leave => return self.leave(ctx).await,
            }
            self.present(ctx, line_open)?;
        }
    }

    /// The question that is open stands in place of the prompt.
    fn prompt(&self) -> String {
        self.questions.prompt().map_or_else(|| words::prompt(&self.user), str::to_owned)
    }

    /// Shows the question that y or n would settle from now on: the next prompt does; where a line is open already, a notice; where
    /// there are no prompts, a line.
    fn present(&mut self, ctx: &Context, line_open: bool) -> Result<(), End> {
        if self.questions.first() == self.presented.as_ref() {
            return Ok(());
        }
        self.presented = self.questions.first().cloned();
        match self.questions.prompt() {
            Some(question) if !self.screen.is_terminal() => ctx.out.line(question.trim_end()),
            Some(question) if line_open => self.screen.notice(question.trim_end().to_owned()),
            _ => Ok(()),
        }
    }

    /// Private requests and sessions as they are: those of before this shell, and after chatd was away. `first`: nothing was said
    /// of any yet. A chatd that does not answer is no reason not to chat.
    async fn look_at_private(&mut self, ctx: &mut Context, first: bool) -> Result<(), End> {
        ctx.take_daemon();
        ctx.restart_clock();
        let profile = self.profile.clone();
        let requests = match ctx.try_call(&Requests { profile: profile.clone(), dir: Some(Direction::In) }).await? {
            Ok(requests) => requests.items,
            Err(_) => return Ok(()),
        };
        let gone = |asked: &Asked| matches!(asked, Asked::Private { id, .. } if requests.iter().all(|request| request.id != *id));
        self.questions.withdraw(Instant::now(), gone);
        for request in &requests {
            self.names.add(&request.peer);
            self.ask_private(request)?;
        }
        let Ok(sessions) = ctx.try_call(&Sessions { profile }).await? else { return Ok(()) };
        for session in sessions.items.into_iter().filter(|session| session.state == SessionState::Open) {
            self.names.add(&session.peer);
            if first {
                ctx.out.line(&words::private_on(&session))?;
            }
            self.private.insert(session.id.clone(), session);
        }
        Ok(())
    }

    /// A request is a question; while another one is open its answer needs the name.
    fn ask_private(&mut self, request: &PrivateRequest) -> Result<(), End> {
        let asked = Asked::Private { id: request.id.clone(), peer: request.peer.clone() };
        let busy = self.questions.first().is_some_and(|first| *first != asked);
        let known = !self.questions.ask(asked, words::private_question(request));
        if busy && !known { self.screen.notice(words::asks_too(&request.peer)) } else { Ok(()) }
    }

    /// Names of the conversations that there were; asking the server for more would count as activity.
    async fn learn_names(&self, ctx: &mut Context) -> Result<(), End> {
        if !self.screen.is_terminal() {
            return Ok(());
        }
        let request = Inbox { profile: self.profile.clone(), unread: false, limit: None };
        for conversation in ctx.call(&request).await?.items {
            self.names.add(&conversation.user);
        }
        Ok(())
    }

    /// What came while no shell was open, up to where the events begin.
    async fn show_waiting(&mut self, ctx: &mut Context, status: &StatusReply) -> Result<(), End> {
        let messages = if status.unread > WAITING_MAX { None } else { Some(self.unread(ctx).await?) };
        let Some(messages) = messages else {
            return ctx.out.line(&words::many_waiting(status.unread));
        };
        if let (Some(oldest), true) = (messages.first(), self.screen.is_terminal()) {
            ctx.out.line(&words::waiting(messages.len(), oldest.at_ms, &ctx.out.clock))?;
        }
        for message in &messages {
            ctx.out.line(&words::message(message, self.classic))?;
        }
        self.mark(ctx, messages.iter().map(|message| message.index).collect()).await
    }

    async fn unread(&self, ctx: &mut Context) -> Result<Vec<Message>, End> {
        let mut request = Read {
            profile: self.profile.clone(),
            user: None,
            limit: None,
            unread: true,
            since_ms: None,
            before: None,
            next: None,
        };
        let (mut all, last) = (Vec::new(), self.follow.index());
        loop {
            let page: Page = ctx.call(&request).await?;
            request.next = page.next.filter(|_| !page.items.is_empty());
            all.extend(page.items.into_iter().filter(|message| message.index <= last));
            if request.next.is_none() {
                return Ok(all);
            }
        }
    }

    /// A line, or what came instead of one.
    async fn entered(&mut self, ctx: &mut Context, entered: Entered) -> Outcome {
        self.mark_what_was_read(ctx).await?;
        match entered {
            Entered::Line(line) => self.line(ctx, &line).await,
            Entered::Refused(why) => ctx.out.line(&why).map(|()| Flow::Go),
            Entered::Cleared => Ok(Flow::Go),
            Entered::End => Ok(Flow::Leave),
            Entered::Failed(trouble) => Err(trouble.into()),
        }
    }

    async fn line(&mut self, ctx: &mut Context, line: &str) -> Outcome {
        let unread = self.questions.is_unread(Instant::now(), line);
        if let Some(question) = self.questions.prompt().filter(|_| unread) {
            return ctx.out.line(question.trim_end()).map(|()| Flow::Go);
        }
        if let Some(Ok(Command::Accept(user) | Command::Decline(user))) = line::parse(line) {
            self.questions.answered(|asked| asked.is_of(user));
        }
        let mut actor =
            Actor { profile: &self.profile, advice: self.screen.is_terminal(), answered: &mut self.answered };
        let settled = self.questions.settle(line);
        let doing = async {
            match settled {
                Some((Asked::Unsent, true)) => actor.log_out_anyway(ctx).await,
                Some((Asked::Unsent, false)) => Ok(Flow::Go),
                Some((Asked::Private { peer, .. }, true)) => {
                    fresh_call(ctx);
                    actor.accept(ctx, &peer).await
                }
                Some((Asked::Private { peer, .. }, false)) => {
                    fresh_call(ctx);
                    actor.decline(ctx, &peer).await
                }
                None => actor.line(ctx, line).await,
            }
        };
        let outcome = tokio::select! {
            outcome = doing => outcome,
            exit = self.signals.next() => Err(End::Quiet(exit)),
            () = interrupt(self.screen.is_terminal()) => {
                ctx.underway.replace(None);
                ctx.out.line(words::INTERRUPTED)?;
                self.screen.interrupted().map(|()| Flow::Go)
            }
        };
        self.forget_old_answers();
        match outcome {
            Err(End::Said(trouble)) => self.trouble(ctx, &trouble).await,
            Ok(Flow::Private(session)) => self.session(*session),
            outcome => outcome,
        }
    }

    fn forget_old_answers(&mut self) {
        let surplus = self.answered.len().saturating_sub(ANSWERED_MAX);
        self.answered.drain(..surplus);
    }

    /// A command failed: the session goes on, unless there is nobody logged in any more.
    async fn trouble(&mut self, ctx: &mut Context, trouble: &Trouble) -> Outcome {
        if trouble.code == Code::NOT_LOGGED_IN.name() {
            return Err(trouble.clone().into());
        }
        let next = trouble.next.as_deref().map(|next| if trouble.whole { next.to_owned() } else { spelled(ctx, next) });
        ctx.out.line(&words::refused(trouble, next.as_deref())).map(|()| Flow::Go)
    }

    /// Something happened meanwhile.
    async fn step(&mut self, ctx: &mut Context, event: Option<Event>) -> Outcome {
        ctx.out.clock.now = jiff::Timestamp::now();
        match (event, self.follow.is_connected()) {
            (Some(event), _) => self.event(ctx, event).await,
            (None, false) if !self.gone => {
                self.gone = true;
                self.notice(words::DAEMON_GONE.to_owned())
            }
            (None, true) if self.gone => {
                self.gone = false;
                self.notice(words::DAEMON_BACK.to_owned())?;
                self.private.clear();
                self.look_at_private(ctx, false).await?;
                self.look(ctx).await
            }
            (None, _) => Ok(Flow::Go),
        }
    }

    /// How the link is now: its changes were not seen while chatd was away.
    async fn look(&mut self, ctx: &mut Context) -> Outcome {
        let status = self.status(ctx).await?;
        // Not known to have been there before.
        self.link = LinkState::Connecting;
        self.link(ctx, status.link, status.cause.as_ref()).await
    }

    async fn event(&mut self, ctx: &mut Context, event: Event) -> Outcome {
        match event {
            Event::Message(message) => self.message(ctx, &message).await,
            Event::Presence { user, state, .. } => {
                self.names.add(&user);
                self.notice(words::presence(&user, state == "online"))
            }
            Event::PresenceMany { count, .. } => self.notice(words::presence_many(count)),
            Event::Receipt { key, to, state: State::Failed | State::Expired, code, .. } if !self.is_answered(&key) => {
                self.notice(words::failed(to.as_deref(), code))
            }
            Event::Receipt { .. } => Ok(Flow::Go),
            Event::Link { state, cause, .. } => self.link(ctx, state, cause.as_ref()).await,
            Event::Gap { count, .. } => self.notice(crate::words::gap(count)),
            Event::PrivateRequest(request) => self.request(&request),
            Event::PrivateSession(session) => self.session(session),
            Event::PrivateEnded(ended) => self.ended(&ended),
            Event::FileOffer(file) | Event::File(file) => self.maybe(words::file(&file)),
            Event::Unread { .. } => Ok(Flow::Go),
        }
    }

    /// Somebody asks, or a request is over.
    fn request(&mut self, request: &PrivateRequest) -> Outcome {
        self.names.add(&request.peer);
        match (request.dir, request.state) {
            (Direction::In, RequestState::Asked) => self.ask_private(request).map(|()| Flow::Go),
            (Direction::In, _) => {
                let is_it = |asked: &Asked| matches!(asked, Asked::Private { id, .. } if *id == request.id);
                let open = self.questions.withdraw(Instant::now(), is_it);
                // One that was answered here is not told of again.
                self.maybe(words::request(request).filter(|_| open))
            }
            (Direction::Out, RequestState::Withdrawn) if self.was_said(&withdrawn_here(&request.peer)) => Ok(Flow::Go),
            (Direction::Out, _) => self.maybe(words::request(request)),
        }
    }

    /// A private session is open, lost its peer, or goes another way.
    fn session(&mut self, session: PrivateSession) -> Outcome {
        let before = self.private.get(&session.id);
        let text = match (before.map(|before| (before.state, before.path)), session.state) {
            (None, SessionState::Open) => Some(words::private_started(&session)),
            (Some((SessionState::Open, path)), SessionState::Open) if path == session.path => None,
            (Some((SessionState::Open, _)), SessionState::Open) => Some(words::private_moved(&session)),
            (Some((_, _)), SessionState::Open) => Some(words::private_back(&session.peer)),
            (Some((SessionState::Open, _)), _) => Some(words::private_away(&session.peer)),
            _ => None,
        };
        if before.is_some() || session.state == SessionState::Open {
            self.private.insert(session.id.clone(), session);
        }
        self.maybe(text)
    }

    /// A private session is over; what was stopped by a line here is said already.
    fn ended(&mut self, ended: &PrivateEnded) -> Outcome {
        let before = self.private.len();
        self.private.retain(|_, session| session.peer != ended.peer);
        let started = self.private.len() < before;
        if ended.reason == EndReason::You && self.was_said(&ended_here(&ended.peer)) {
            return Ok(Flow::Go);
        }
        self.notice(words::private_ended(ended, started))
    }

    /// Was this answered here? Then it is not told of again, once.
    fn was_said(&mut self, what: &str) -> bool {
        let found = self.answered.iter().position(|answered| answered == what);
        found.map(|index| self.answered.remove(index)).is_some()
    }

    fn maybe(&self, text: Option<String>) -> Outcome {
        text.map_or(Ok(Flow::Go), |text| self.notice(text))
    }

    fn is_answered(&self, key: &Option<String>) -> bool {
        key.as_ref().is_some_and(|key| self.answered.contains(key))
    }

    async fn message(&mut self, ctx: &mut Context, message: &Message) -> Outcome {
        if message.own {
            if !self.is_answered(&message.key) {
                self.notice(words::message(message, self.classic))?;
            }
            return Ok(Flow::Go);
        }
        self.names.add(&message.from);
        self.notice(words::message(message, self.classic))?;
        if self.screen.prints_at_once() {
            self.mark(ctx, vec![message.index]).await?;
        } else {
            self.shown.push((message.index, Instant::now()));
        }
        Ok(Flow::Go)
    }

    /// The link changed. One that was never there is lost only when chatd waits before it tries again.
    async fn link(&mut self, ctx: &mut Context, state: LinkState, cause: Option<&Problem>) -> Outcome {
        let was = std::mem::replace(&mut self.link, state);
        match (state, self.unlinked) {
            (LinkState::LoggedOut, _) => Err(self.over(ctx).await?),
            (LinkState::Online, true) => {
                self.unlinked = false;
                self.notice(words::LINK_BACK.to_owned())
            }
            (LinkState::Waiting, false) => self.link_lost(cause),
            (LinkState::Connecting, false) if was == LinkState::Online => self.link_lost(cause),
            _ => Ok(Flow::Go),
        }
    }

    fn link_lost(&mut self, cause: Option<&Problem>) -> Outcome {
        self.unlinked = true;
        self.notice(words::link_lost(cause))
    }

    fn notice(&self, text: String) -> Outcome {
        self.screen.notice(text).map(|()| Flow::Go)
    }

    /// What stood above the line long enough was read by whoever entered it.
    async fn mark_what_was_read(&mut self, ctx: &mut Context) -> Result<(), End> {
        let read = self.shown.iter().filter(|(_, at)| at.elapsed() >= READING).map(|(index, _)| *index).collect();
        self.shown.retain(|(_, at)| at.elapsed() < READING);
        self.mark(ctx, read).await
    }

    /// Marks messages as read. One that cannot be marked now is shown again at the next start.
    async fn mark(&self, ctx: &mut Context, indices: Vec<u64>) -> Result<(), End> {
        if indices.is_empty() {
            return Ok(());
        }
        ctx.take_daemon();
        ctx.restart_clock();
        match ctx.try_call(&MarkRead { profile: self.profile.clone(), indices }).await {
            Err(End::Quiet(exit)) => Err(End::Quiet(exit)),
            _ => Ok(()),
        }
    }

    /// The login is over; why, as chatd tells it.
    async fn over(&self, ctx: &mut Context) -> Result<End, End> {
        let status = self.status(ctx).await?;
        let data = ErrorData { ended: status.ended, ..ErrorData::from(Code::NOT_LOGGED_IN) };
        Ok(refusals::refusal(&data, &ctx.out.clock).into())
    }

    async fn status(&self, ctx: &mut Context) -> Result<StatusReply, End> {
        ctx.take_daemon();
        ctx.restart_clock();
        ctx.call(&Status { profile: self.profile.clone(), wait_online_ms: None }).await
    }

    /// The end that the person wants: what came last is shown, and what is not well is said.
    async fn leave(&mut self, ctx: &mut Context) -> Result<(), End> {
        for _ in 0..LAST_EVENTS {
            let step = tokio::select! {
                biased;
                step = self.follow.next(ctx) => step?,
                () = tokio::task::yield_now() => break,
            };
            self.step(ctx, step).await?;
        }
        if self.link == LinkState::Online {
            return Ok(());
        }
        let status = self.status(ctx).await?;
        match status.link {
            LinkState::Online => Ok(()),
            LinkState::LoggedOut => Err(self.over(ctx).await?),
            LinkState::Connecting | LinkState::Waiting => {
                self.screen.notice(words::left_unlinked(&status))?;
                Err(End::Quiet(Exit::Unreachable))
            }
        }
    }
}

/// A call that is made as a line of its own: whatever the one before left behind.
fn fresh_call(ctx: &mut Context) {
    ctx.take_daemon();
    ctx.restart_clock();
}

/// The next event, when it can be shown; nothing when chatd may have gone or come back. A stream that only has to be taken up again
/// is taken up at once.
async fn next(follow: &mut Follow, ctx: &mut Context, room: &Room) -> Result<Option<Event>, End> {
    room.wait().await;
    match follow.next(ctx).await? {
        None if !follow.is_connected() => follow.next(ctx).await,
        event => Ok(event),
    }
}

/// Ctrl-C that the line editor does not see: on a terminal it ends the command that runs, not the session.
async fn interrupt(terminal: bool) {
    if !terminal || tokio::signal::ctrl_c().await.is_err() {
        std::future::pending().await
    }
}

/// A command that is to be run next, as it is typed here; what the shell takes otherwise, or not at all, is run beside it.
fn spelled(ctx: &Context, next: &str) -> String {
    match line::parse(next) {
        Some(Ok(Command::Whoelse | Command::Help(_) | Command::Chatctl(_))) => next.to_owned(),
        _ => format!("{} {next}", ctx.out.chatctl),
    }
}
