//! The beginning of a shell: who is there. An account that is logged in goes on; else name and password are asked for, as often as the
//! server allows. Without a terminal they are the first two lines of the input.

use std::io::IsTerminal;

use chat_proto::control::account::{Account, LinkState, Login, Status, StatusReply, Trust};
use chat_proto::fault::Code;
use zeroize::Zeroizing;

use super::Entered;
use super::question::Questions;
use super::screen::Screen;
use crate::args;
use crate::commands::{Context, never_logged_in};
use crate::daemon::CallError;
use crate::exit::Exit;
use crate::output::{End, Trouble};
use crate::prompt::{Secret, checked, secret_file};
use crate::words::{refusals, shell as words, troubles};

/// Who is there.
pub struct Entry {
    /// The profile.
    pub profile: String,
    /// Its state.
    pub status: StatusReply,
    /// Where stdin is no terminal: where the rest of the lines comes from.
    pub lines: Option<Screen>,
}

/// Asks until somebody is logged in; nothing when the input ended before.
pub async fn enter(ctx: &mut Context, args: args::ShellArgs) -> Result<Option<Entry>, End> {
    let profile = if args.user.is_some() { ctx.profile_to_make().await? } else { ctx.profile().await? };
    let found = status(ctx, &profile).await?;
    let lines = (!std::io::stdin().is_terminal()).then(|| Screen::plain(&ctx.out));
    let mut door = Door { profile, found, lines, ended: false };
    if !door.is_in(args.user.as_deref()) {
        let Some(account) = door.knock(ctx, args).await? else {
            return Ok(None);
        };
        ctx.out.success(&words::logged_in(&account.user, &account.server))?;
        door.found = status(ctx, &door.profile).await?;
    }
    let status = door.found.ok_or_else(troubles::no_account)?;
    Ok(Some(Entry { profile: door.profile, status, lines: door.lines }))
}

/// The profile's state; nothing when it has no account yet.
async fn status(ctx: &mut Context, profile: &str) -> Result<Option<StatusReply>, End> {
    ctx.restart_clock();
    match ctx.try_call(&Status { profile: profile.to_owned(), wait_online_ms: None }).await? {
        Ok(status) => Ok(Some(status).filter(|status| !status.user.is_empty())),
        Err(CallError::Refused(data)) if never_logged_in(&data) => Ok(None),
        Err(error) => Err(ctx.refused(error)),
    }
}

/// Somebody who is not logged in yet.
struct Door {
    profile: String,
    found: Option<StatusReply>,
    lines: Option<Screen>,
    /// The input ended at a question.
    ended: bool,
}

/// What became of one name.
enum Tried {
    /// It is logged in.
    In(Account),
    /// Another name may be given.
    Another,
    /// The input ended.
    Ended,
}

impl Door {
    /// Is the account that is meant logged in?
    fn is_in(&self, user: Option<&str>) -> bool {
        let here = self.found.as_ref().filter(|status| status.link != LinkState::LoggedOut);
        here.is_some_and(|status| user.is_none_or(|user| user == status.user))
    }

    async fn knock(&mut self, ctx: &mut Context, args: args::ShellArgs) -> Result<Option<Account>, End> {
        if args.server.is_none() && self.found.is_none() {
            return Err(troubles::first_login().into());
        }
        let ca = args.trust.ca.as_deref().map(crate::text::from_file).transpose()?;
        let mut request = Login {
            profile: self.profile.clone(),
            user: args.user,
            server: args.server,
            password: None,
            device: args.device,
            take_over: args.take_over,
            sign_up: false,
            trust: Trust { trust: args.trust.trust, ca },
            timeout_ms: 0,
        };
        let mut file = args.password_file.as_deref().map(secret_file).transpose()?;
        loop {
            if request.user.is_none() {
                match self.ask(ctx, words::USERNAME).await? {
                    Some(user) if user.is_empty() => continue,
                    Some(user) => request.user = Some(user),
                    None => return Ok(None),
                }
                request.sign_up = false;
            }
            match self.attempt(ctx, &mut request, file.take()).await? {
                Tried::In(account) => return Ok(Some(account)),
                Tried::Another => request.user = None,
                Tried::Ended => return Ok(None),
            }
        }
    }

    /// Tries one name: by the device's key where that can be, else by passwords until one fits.
    async fn attempt(
        &mut self,
        ctx: &mut Context,
        request: &mut Login,
        mut given: Option<Secret>,
    ) -> Result<Tried, End> {
        let from_file = given.is_some();
        // Lines of a script come in pairs: its password is always read, and always checked.
        let asks_at_once = self.lines.is_some() && self.is_own(request.user.as_deref());
        let mut password = given.take();
        let mut by_key = password.is_none() && !asks_at_once;
        loop {
            if password.is_none() && !by_key {
                match self.password(ctx, request.sign_up).await? {
                    Some(typed) => password = Some(typed),
                    None => return Ok(Tried::Ended),
                }
            }
            let secret = match password.take().map(checked).transpose() {
                Ok(secret) => secret,
                Err(trouble) if from_file => return Err(trouble.into()),
                Err(trouble) => {
                    say(ctx, &trouble)?;
                    continue;
                }
            };
            let outcome = self.call(ctx, request, secret.as_ref()).await?;
            let data = match outcome {
                Ok(account) => return Ok(Tried::In(account)),
                Err(CallError::Refused(data)) => data,
                Err(error) => return Err(ctx.refused(error)),
            };
            match data.code {
                Code::WRONG_CREDENTIALS if by_key => by_key = false,
                Code::SIGN_UP if !request.sign_up => {
                    let name = data.subject.as_deref().or(request.user.as_deref()).unwrap_or_default();
                    if !ctx.prompt.yes && !self.settle(ctx, words::sign_up(name)).await? {
                        return Ok(if self.ended { Tried::Ended } else { Tried::Another });
                    }
                    (request.sign_up, by_key, password) = (true, false, secret);
                }
                Code::WRONG_CREDENTIALS if !from_file => say(ctx, &refusals::refusal(&data, &ctx.out.clock))?,
                Code::ALREADY_LOGGED_IN | Code::BAD_NAME if !from_file => {
                    say(ctx, &refusals::refusal(&data, &ctx.out.clock))?;
                    return Ok(Tried::Another);
                }
                Code::LOCKED_OUT => {
                    say(ctx, &refusals::refusal(&data, &ctx.out.clock))?;
                    return Err(End::Quiet(Exit::SlowDown));
                }
                _ => return Err(ctx.refused(CallError::Refused(data))),
            }
        }
    }

    /// The name that this profile had before: its device key would do.
    fn is_own(&self, user: Option<&str>) -> bool {
        self.found.as_ref().is_some_and(|status| Some(status.user.as_str()) == user)
    }

    /// Calls; the server's key may have to be trusted first, which only somebody at a terminal can decide.
    async fn call(
        &mut self,
        ctx: &mut Context,
        request: &mut Login,
        secret: Option<&Secret>,
    ) -> Result<Result<Account, CallError>, End> {
        use zeroize::Zeroize;
        loop {
            ctx.restart_clock();
            request.timeout_ms = ctx.timeout_ms();
            request.password = secret.map(|secret| secret.to_string());
            let outcome = ctx.try_call(request).await?;
            request.password.zeroize();
            let question = match &outcome {
                Err(CallError::Refused(data)) if data.code == Code::TRUST_UNKNOWN => data.trust.clone(),
                _ => None,
            };
            let Some(question) = question.filter(|_| self.lines.is_none() && ctx.prompt.possible) else {
                return Ok(outcome);
            };
            let fingerprint = question.fingerprint;
            if !self.settle(ctx, words::trust(&question.server, &fingerprint.to_string())).await? {
                return Ok(outcome);
            }
            request.trust.trust = Some(fingerprint);
        }
    }

    /// A line: from the terminal itself, else from the input.
    async fn ask(&mut self, ctx: &Context, question: &str) -> Result<Option<String>, End> {
        const HOW: &str = "arguments: shell NAME --password-file F";
        let Some(lines) = &mut self.lines else {
            return ctx.prompt.line_or_end(question, "a name", HOW).await;
        };
        if ctx.global.no_input {
            return Err(troubles::no_prompt("a name", HOW).into());
        }
        loop {
            match lines.line(question).await? {
                Entered::Line(line) => return Ok(Some(line)),
                Entered::Refused(why) => ctx.out.line(&why)?,
                Entered::Cleared => {}
                Entered::Failed(trouble) => return Err(trouble.into()),
                Entered::End => return Ok(None),
            }
        }
    }

    /// A password; a new one is typed twice where it cannot be seen.
    async fn password(&mut self, ctx: &Context, new: bool) -> Result<Option<Secret>, End> {
        match (&self.lines, new) {
            (Some(_), _) => Ok(self.ask(ctx, "").await?.map(Zeroizing::new)),
            (None, true) => self.new_password(ctx).await.map(Some),
            (None, false) => ctx.prompt.password().await.map(Some),
        }
    }

    async fn new_password(&self, ctx: &Context) -> Result<Secret, End> {
        let differ = troubles::passwords_differ("login");
        loop {
            match ctx.prompt.first_password("login").await {
                Err(End::Said(trouble)) if *trouble == differ => say(ctx, &trouble)?,
                outcome => return outcome,
            }
        }
    }

    /// Asks until it is y or n: nothing else can be done here meanwhile.
    async fn settle(&mut self, ctx: &Context, question: String) -> Result<bool, End> {
        let mut questions = Questions::default();
        questions.ask((), question.clone());
        if self.lines.is_some() {
            ctx.out.line(question.trim_end())?;
        }
        loop {
            let Some(line) = self.ask(ctx, &question).await? else {
                self.ended = true;
                return Ok(false);
            };
            if let Some(((), yes)) = questions.settle(&line) {
                return Ok(yes);
            }
            ctx.out.line(words::Y_OR_N)?;
        }
    }
}

fn say(ctx: &Context, trouble: &Trouble) -> Result<(), End> {
    ctx.out.line(&words::refused(trouble, None))
}
