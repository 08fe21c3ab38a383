//! Does what one line says and prints what came of it. Each line is a call of its own, as a chatctl would make it: a chatd that was
//! started again meanwhile is found.

use chat_proto::control::account::Logout;
use chat_proto::control::message::{Broadcast, SendMessage, Sent, State};
use chat_proto::control::people::{Block, Unblock};
use chat_proto::control::private::{
    Accept, Decline, Private, PrivateRequest, PrivateSession, SessionState, Startprivate, Stopprivate,
};
use chat_proto::control::{Call, ErrorData};
use chat_proto::fault::Code;
use chat_proto::limits::TEXT_MAX;
use clap::FromArgMatches;

use super::line::{self, Command, Wrong};
use crate::args::{self, Cli};
use crate::commands::{self, Context, Waited};
use crate::daemon::CallError;
use crate::key;
use crate::output::{End, Trouble};
use crate::words::{self as all_words, shell as words, troubles};

/// What the session does next.
#[derive(Debug, PartialEq, Eq)]
pub enum Flow {
    /// It goes on.
    Go,
    /// It is over, and the account stays logged in.
    Leave,
    /// It is over: the account is logged out.
    LoggedOut,
    /// The session asks whether to log out although so many messages wait.
    AskUnsent(String),
    /// It goes on, with this private session.
    Private(Box<PrivateSession>),
}

/// What a line needs of its session.
pub struct Actor<'a> {
    /// The profile that acts.
    pub profile: &'a str,
    /// Somebody sits there: advice is welcome.
    pub advice: bool,
    /// Keys of messages that are answered here: nobody need hear of them again.
    pub answered: &'a mut Vec<String>,
}

impl Actor<'_> {
    /// Does what the line says.
    pub async fn line(&mut self, ctx: &mut Context, line: &str) -> Result<Flow, End> {
        let command = match line::parse(line) {
            None => return Ok(Flow::Go),
            Some(Ok(command)) => command,
            Some(Err(wrong)) => return self.wrong(ctx, &wrong),
        };
        // Whatever the line before left behind.
        ctx.take_daemon();
        ctx.restart_clock();
        ctx.out.clock.now = jiff::Timestamp::now();
        match command {
            Command::Message { user, text } => self.message(ctx, user, text).await,
            Command::Broadcast(text) => self.broadcast(ctx, text).await,
            Command::Whoelse => self.chatctl(ctx, &["whoelse"]).await,
            Command::Whoelsesince(since) => self.chatctl(ctx, &["whoelsesince", &since.as_secs().to_string()]).await,
            Command::Block(user) => self.block(ctx, user).await,
            Command::Unblock(user) => self.unblock(ctx, user).await,
            Command::Startprivate(user) => self.startprivate(ctx, user).await,
            Command::Accept(user) => self.accept(ctx, user).await,
            Command::Decline(user) => self.decline(ctx, user).await,
            Command::Private { user, text } => self.private(ctx, user, text).await,
            Command::Stopprivate(user) => self.stopprivate(ctx, user).await,
            Command::Logout => self.logout(ctx, false).await,
            Command::Quit => Ok(Flow::Leave),
            Command::Help(of) => go(ctx.out.line(&words::help(of))),
            Command::Chatctl(typed) => self.chatctl(ctx, &typed).await,
        }
    }

    fn wrong(&self, ctx: &Context, wrong: &Wrong) -> Result<Flow, End> {
        match wrong {
            Wrong::Form(word) => ctx.out.line(&words::form(word))?,
            Wrong::Unknown => {
                ctx.out.line(words::UNKNOWN)?;
                if self.advice {
                    ctx.out.line(words::SEE_HELP)?;
                }
            }
        }
        Ok(Flow::Go)
    }

    async fn message(&mut self, ctx: &mut Context, user: &str, text: &str) -> Result<Flow, End> {
        let key = self.key(text)?;
        let request = SendMessage {
            profile: self.profile.to_owned(),
            to: user.to_owned(),
            text: text.to_owned(),
            key: key.clone(),
            wait: State::Accepted,
            timeout_ms: ctx.timeout_ms(),
            no_queue: false,
            reply: None,
            urgent: false,
            run: None,
        };
        match self.send(ctx, &request, &key).await? {
            Ok(sent) => self.settled(ctx, &key, &sent, words::sent(&sent, ctx.out.verbose)),
            Err(data) if data.code == Code::YOURSELF => go(ctx.out.line(&words::yourself("message"))),
            Err(data) => self.refused(ctx, data),
        }
    }

    async fn broadcast(&mut self, ctx: &mut Context, text: &str) -> Result<Flow, End> {
        let key = self.key(text)?;
        let request = Broadcast {
            profile: self.profile.to_owned(),
            text: text.to_owned(),
            key: key.clone(),
            wait: State::Accepted,
            timeout_ms: ctx.timeout_ms(),
        };
        match self.send(ctx, &request, &key).await? {
            Ok(sent) => self.settled(ctx, &key, &sent, words::broadcast(&sent, ctx.out.verbose)),
            Err(data) => self.refused(ctx, data),
        }
    }

    /// The key of a message whose text can be sent.
    fn key(&mut self, text: &str) -> Result<String, Trouble> {
        if text.len() > TEXT_MAX {
            return Err(troubles::too_large(Some(text.len())));
        }
        let key = key::given_or_fresh(None)?;
        self.answered.push(key.clone());
        Ok(key)
    }

    /// Hands a message to chatd; when the connection breaks meanwhile, once more with the same key, which never sends twice.
    async fn send<C: Call<Reply = Sent>>(
        &mut self,
        ctx: &mut Context,
        request: &C,
        key: &str,
    ) -> Result<Result<Sent, Box<ErrorData>>, End> {
        ctx.underway.replace(Some(Waited::Message(key.to_owned())));
        let mut outcome = ctx.try_call(request).await?;
        if let Err(CallError::Broken(_)) = outcome {
            ctx.take_daemon();
            ctx.restart_clock();
            outcome = ctx.try_call(request).await?;
        }
        ctx.underway.replace(None);
        match outcome {
            Ok(sent) => Ok(Ok(sent)),
            Err(CallError::Refused(data)) => Ok(Err(data)),
            Err(error) => Err(ctx.refused(error)),
        }
    }

    /// One that waits for its verdict will be heard of again.
    fn settled(&mut self, ctx: &Context, key: &str, sent: &Sent, words: Option<String>) -> Result<Flow, End> {
        if sent.pending.is_some() {
            self.answered.retain(|answered| answered != key);
        }
        match words {
            Some(words) => go(ctx.out.success(&words)),
            None => Ok(Flow::Go),
        }
    }

    async fn block(&mut self, ctx: &mut Context, user: &str) -> Result<Flow, End> {
        let request = Block { profile: self.profile.to_owned(), user: user.to_owned(), timeout_ms: ctx.timeout_ms() };
        match ctx.try_call(&request).await? {
            Ok(reply) => go(ctx.out.success(&words::blocked(&reply.user, reply.changed))),
            Err(CallError::Refused(data)) if data.code == Code::YOURSELF => go(ctx.out.line(&words::yourself("block"))),
            Err(CallError::Refused(data)) => self.refused(ctx, data),
            Err(error) => Err(ctx.refused(error)),
        }
    }

    async fn unblock(&mut self, ctx: &mut Context, user: &str) -> Result<Flow, End> {
        let request = Unblock { profile: self.profile.to_owned(), user: user.to_owned(), timeout_ms: ctx.timeout_ms() };
        match ctx.try_call(&request).await? {
            Ok(reply) => go(ctx.out.success(&words::unblocked(&reply.user))),
            Err(CallError::Refused(data)) if data.code == Code::YOURSELF => {
                go(ctx.out.line(&words::yourself("unblock")))
            }
            Err(CallError::Refused(data)) if data.code == Code::NOT_BLOCKED => {
                go(ctx.out.line(&words::not_blocked(user)))
            }
            Err(CallError::Refused(data)) => self.refused(ctx, data),
            Err(error) => Err(ctx.refused(error)),
        }
    }

    /// Asks; the answer comes as an event.
    async fn startprivate(&mut self, ctx: &mut Context, user: &str) -> Result<Flow, End> {
        let request = Startprivate {
            profile: self.profile.to_owned(),
            user: user.to_owned(),
            note: None,
            relay_only: false,
            direct_only: false,
            wait_ms: None,
            timeout_ms: ctx.timeout_ms(),
        };
        match ctx.try_call(&request).await? {
            Ok(PrivateRequest { session: Some(session), .. }) => Ok(Flow::Private(Box::new(session))),
            Ok(_) => go(ctx.out.success(&words::asked(user))),
            Err(CallError::Refused(data)) => match data.code {
                Code::YOURSELF => go(ctx.out.line(&words::yourself("start a private session with"))),
                Code::RECIPIENT_BLOCKED => go(ctx.out.line(words::BLOCKS_REQUESTS)),
                Code::REQUEST_PENDING => go(ctx.out.line(&words::pending(user))),
                Code::SESSION_EXISTS => go(ctx.out.line(&words::private_already(user))),
                Code::BLOCKED_BY_YOU => go(ctx.out.line(&words::you_block(user))),
                _ => self.private_refused(ctx, user, data),
            },
            Err(error) => Err(ctx.refused(error)),
        }
    }

    /// Accepts somebody's request, by its name or by a y.
    pub async fn accept(&mut self, ctx: &mut Context, user: &str) -> Result<Flow, End> {
        let request = Accept {
            profile: self.profile.to_owned(),
            user: user.to_owned(),
            relay_only: false,
            for_ms: None,
            timeout_ms: ctx.timeout_ms(),
        };
        match ctx.try_call(&request).await? {
            Ok(session) if session.state == SessionState::Open => Ok(Flow::Private(Box::new(session))),
            Ok(session) => Err(all_words::private::connecting(&session.peer).into()),
            Err(CallError::Refused(data)) => self.private_refused(ctx, user, data),
            Err(error) => Err(ctx.refused(error)),
        }
    }

    /// Declines it.
    pub async fn decline(&mut self, ctx: &mut Context, user: &str) -> Result<Flow, End> {
        let (profile, user) = (self.profile.to_owned(), user.to_owned());
        let request = Decline { profile, user, block: false, timeout_ms: ctx.timeout_ms() };
        match ctx.try_call(&request).await? {
            Ok(reply) => go(ctx.out.success(&words::declined(&reply.peer))),
            Err(CallError::Refused(data)) => self.private_refused(ctx, &request.user, data),
            Err(error) => Err(ctx.refused(error)),
        }
    }

    async fn private(&mut self, ctx: &mut Context, user: &str, text: &str) -> Result<Flow, End> {
        let key = self.key(text)?;
        let request = Private {
            profile: self.profile.to_owned(),
            user: user.to_owned(),
            text: text.to_owned(),
            key: key.clone(),
            wait: State::Delivered,
            timeout_ms: ctx.timeout_ms(),
        };
        match self.send(ctx, &request, &key).await? {
            Ok(sent) => self.settled(ctx, &key, &sent, words::private_sent(&sent, ctx.out.verbose)),
            Err(data) if data.code == Code::YOURSELF => go(ctx.out.line(&words::yourself("private message"))),
            Err(data) => self.private_refused(ctx, user, data),
        }
    }

    async fn stopprivate(&mut self, ctx: &mut Context, user: &str) -> Result<Flow, End> {
        let (profile, who) = (self.profile.to_owned(), Some(user.to_owned()));
        match ctx.try_call(&Stopprivate { profile, user: who, timeout_ms: ctx.timeout_ms() }).await? {
            Ok(stopped) => {
                for ended in &stopped.items {
                    self.answered.push(ended_here(&ended.peer));
                    ctx.out.success(&words::private_stopped(ended))?;
                }
                for peer in &stopped.withdrawn {
                    self.answered.push(withdrawn_here(peer));
                    ctx.out.success(&words::withdrawn(peer))?;
                }
                Ok(Flow::Go)
            }
            Err(CallError::Refused(data)) if data.code == Code::YOURSELF => {
                go(ctx.out.line(&words::yourself("stop private messaging with")))
            }
            Err(CallError::Refused(data)) => self.private_refused(ctx, user, data),
            Err(error) => Err(ctx.refused(error)),
        }
    }

    /// What the words about private sessions share.
    fn private_refused(&self, ctx: &Context, user: &str, data: Box<ErrorData>) -> Result<Flow, End> {
        match data.code {
            Code::NO_SESSION => go(ctx.out.line(&words::not_private(user))),
            Code::OFFLINE => go(ctx.out.line(&words::offline(user))),
            Code::UNKNOWN_REQUEST => go(ctx.out.line(&words::no_request(user))),
            Code::WITHDRAWN | Code::REQUEST_EXPIRED => go(ctx.out.line(&words::request_over(user))),
            _ => self.refused(ctx, data),
        }
    }

    /// Logs out although messages wait.
    pub async fn log_out_anyway(&mut self, ctx: &mut Context) -> Result<Flow, End> {
        ctx.take_daemon();
        ctx.restart_clock();
        self.logout(ctx, true).await
    }

    async fn logout(&mut self, ctx: &mut Context, force: bool) -> Result<Flow, End> {
        let request = Logout {
            profile: self.profile.to_owned(),
            all_devices: false,
            wipe: false,
            force,
            timeout_ms: ctx.timeout_ms(),
        };
        match ctx.try_call(&request).await? {
            Ok(reply) => {
                ctx.out.success(&all_words::logged_out(&reply))?;
                Ok(Flow::LoggedOut)
            }
            Err(CallError::Refused(data)) if data.code == Code::UNSENT => {
                Ok(Flow::AskUnsent(data.subject.unwrap_or_default()))
            }
            Err(CallError::Refused(data)) => self.refused(ctx, data),
            Err(error) => Err(ctx.refused(error)),
        }
    }

    /// Runs a command of chatctl as its own program would.
    async fn chatctl(&self, ctx: &mut Context, typed: &[&str]) -> Result<Flow, End> {
        let parsed = args::command().try_get_matches_from(std::iter::once("chatctl").chain(typed.iter().copied()));
        let verb = match parsed.and_then(|matches| Cli::from_arg_matches(&matches)) {
            Ok(cli) => cli.verb,
            Err(error) => {
                let text = error.to_string();
                let what = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
                ctx.out.line(&words::wrong_arguments(what))?;
                return match typed.first().and_then(|name| line::known(name)) {
                    Some(word) => self.wrong(ctx, &Wrong::Form(word)),
                    None => Ok(Flow::Go),
                };
            }
        };
        // The profile of this session, whatever the default becomes meanwhile.
        ctx.global.profile = Some(self.profile.to_owned());
        match Box::pin(commands::dispatch(ctx, verb)).await {
            // It was said; the exit code is of no use here. A pipe that is closed has exit 0 and ends the session.
            Err(End::Quiet(exit)) if exit != crate::exit::Exit::Done => Ok(Flow::Go),
            outcome => go(outcome),
        }
    }

    fn refused(&self, ctx: &Context, data: Box<ErrorData>) -> Result<Flow, End> {
        match data.code {
            Code::UNKNOWN_USER => go(ctx.out.line(words::NOBODY)),
            Code::RECIPIENT_BLOCKED => go(ctx.out.line(words::BLOCKED_YOU)),
            _ => Err(ctx.refused(CallError::Refused(data))),
        }
    }
}

/// How the end of a session is remembered that was answered here, beside keys of messages.
pub fn ended_here(peer: &str) -> String {
    format!("stopprivate {peer}")
}

/// The same for a request that was withdrawn here.
pub fn withdrawn_here(peer: &str) -> String {
    format!("withdrawn {peer}")
}

fn go(done: Result<(), End>) -> Result<Flow, End> {
    done.map(|()| Flow::Go)
}
