//! register, login, logout, status, passwd.

use std::path::Path;

use chat_proto::control::account::{self as control, Account, LinkState, Trust};
use chat_proto::control::{Call, ErrorData};
use chat_proto::display::quoted;
use chat_proto::fault::Code;
use chat_proto::id::Fingerprint;
use zeroize::Zeroize;

use super::Context;
use crate::args;
use crate::daemon::CallError;
use crate::exit::Exit;
use crate::output::{End, Form, Trouble};
use crate::prompt::{Secret, checked, secret_file, secret_stdin, two_secrets_stdin};
use crate::words::{self, ask, troubles};
use crate::{json, text};

/// `register`: a new account.
pub async fn register(ctx: &mut Context, args: args::Register) -> Result<(), End> {
    let user = user_name(ctx, args.user).await?;
    let invite = invitation(args.invite_file.as_deref(), args.password.password_stdin)?;
    let password = match given_password(&args.password)? {
        Some(password) => password,
        None => checked(ctx.prompt.first_password("help register").await?)?,
    };
    let trust = trust(&args.trust)?;
    let profile = ctx.profile_to_make().await?;
    ctx.restart_clock();
    let mut request = control::Register {
        profile,
        user,
        server: args.server,
        password: password.to_string(),
        invite: invite.map(|invite| invite.to_string()),
        device: args.device,
        trust,
        timeout_ms: ctx.timeout_ms(),
    };
    let outcome = trusting(ctx, &mut request).await;
    request.password.zeroize();
    let mut account = outcome?.map_err(|error| register_refused(ctx, error, &request))?;
    account.unread = 0;
    report(ctx, &account, &words::registered(&account))
}

/// A taken name may be one's own: then login is what was meant. What is no server is said as that.
fn register_refused(ctx: &Context, error: CallError, request: &control::Register) -> End {
    match &error {
        CallError::Refused(data) if data.code == Code::NAME_TAKEN => {
            let (user, server) = (quoted(&request.user), quoted(&request.server));
            hinted(ctx.refused(error), format!("login {user} --server {server}"))
        }
        CallError::Refused(data) if is_about(data, &request.server) => {
            troubles::bad_server(&request.server, "register").into()
        }
        _ => ctx.refused(error),
    }
}

/// Whether this is what chatd could not take.
fn is_about(data: &ErrorData, value: &str) -> bool {
    data.code == Code::BAD_PARAMS && data.subject.as_deref() == Some(value)
}

/// `login`: by password when one is given, else by the device's key, else by a password that is asked for. A server that tells of
/// names is asked first: a name that nobody has may become an account, one that is active elsewhere may be replaced by another.
pub async fn login(ctx: &mut Context, args: args::Login) -> Result<(), End> {
    let given = given_password(&args.password)?;
    let profile = if args.user.is_some() { ctx.profile_to_make().await? } else { ctx.profile().await? };
    let mut request = control::Login {
        profile,
        user: args.user,
        server: args.server,
        password: given.as_ref().map(|password| password.to_string()),
        device: args.device,
        take_over: args.take_over,
        sign_up: false,
        trust: trust(&args.trust)?,
        timeout_ms: ctx.timeout_ms(),
    };
    let outcome = loop {
        let outcome = trusting(ctx, &mut request).await?;
        let refusal = match &outcome {
            Err(CallError::Refused(data)) => data.clone(),
            _ => break outcome,
        };
        if !answered(ctx, &mut request, given.as_ref(), &refusal).await? {
            break outcome;
        }
        ctx.restart_clock();
        request.timeout_ms = ctx.timeout_ms();
    };
    request.password.zeroize();
    let account = outcome.map_err(|error| login_refused(ctx, error, &request))?;
    let inbox = format!("{} inbox", ctx.out.chatctl);
    let words = if request.sign_up { words::registered(&account) } else { words::logged_in(&account, &inbox) };
    report(ctx, &account, &words)
}

/// Asks the person for what a refused login misses; false: nothing can be asked, the refusal stands.
async fn answered(
    ctx: &mut Context,
    request: &mut control::Login,
    given: Option<&Secret>,
    refusal: &ErrorData,
) -> Result<bool, End> {
    match refusal.code {
        Code::WRONG_CREDENTIALS if request.password.is_none() => {
            request.password = Some(checked(ctx.prompt.password().await?)?.to_string());
            Ok(true)
        }
        Code::SIGN_UP if !request.sign_up => {
            let name = refusal.subject.as_deref().unwrap_or_default();
            if !ctx.prompt.confirm(&ask::sign_up(name), "--yes").await? {
                return Err(troubles::declined().into());
            }
            if request.password.is_none() {
                request.password = Some(checked(ctx.prompt.first_password("login").await?)?.to_string());
            }
            request.sign_up = true;
            Ok(true)
        }
        Code::ALREADY_LOGGED_IN if !request.take_over && ctx.prompt.possible => {
            let question = ask::another_name(refusal.subject.as_deref().unwrap_or_default());
            let name = ctx.prompt.line(&question, "another name", "another name as the argument").await?;
            if name.is_empty() {
                return Ok(false);
            }
            request.user = Some(name);
            request.sign_up = false;
            request.password.zeroize();
            request.password = given.map(|password| password.to_string());
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// Who and where are missing where the profile does not know them: it was never logged in.
/// What to type next names the account and the server where they were typed: the profile may not know them.
fn login_refused(ctx: &Context, error: CallError, request: &control::Login) -> End {
    let again = |take_over: &str| match (&request.user, &request.server) {
        (Some(user), Some(server)) => format!("login {} --server {}{take_over}", quoted(user), quoted(server)),
        _ => format!("login{take_over}"),
    };
    let server = request.server.as_deref().unwrap_or_default();
    match &error {
        CallError::Refused(data) if lacks(data, request) => troubles::first_login().into(),
        CallError::Refused(data) if is_about(data, server) => troubles::bad_server(server, "login").into(),
        // Not a recipient: an account that is not there yet.
        CallError::Refused(data) if data.code == Code::UNKNOWN_USER => {
            hinted(ctx.refused(error), "help register".into())
        }
        CallError::Refused(data) if [Code::WRONG_CREDENTIALS, Code::LOCKED_OUT].contains(&data.code) => {
            hinted(ctx.refused(error), again(""))
        }
        CallError::Refused(data) if data.code == Code::ALREADY_LOGGED_IN => {
            hinted(ctx.refused(error), again(" --take-over"))
        }
        _ => ctx.refused(error),
    }
}

/// Whether chatd knows a name or a server neither from what was typed nor from the profile.
fn lacks(data: &ErrorData, request: &control::Login) -> bool {
    let asked_for =
        |name: &str, value: &Option<String>| is_about(data, name) && value.as_deref().is_none_or(str::is_empty);
    asked_for("user", &request.user) || asked_for("server", &request.server)
}

fn hinted(end: End, next: String) -> End {
    match end {
        End::Said(trouble) => trouble.next(next).into(),
        end => end,
    }
}

fn report(ctx: &Context, account: &Account, words: &str) -> Result<(), End> {
    match ctx.out.form {
        Form::Json => ctx.out.object("account", json::account(account)),
        Form::Plain => ctx.out.row(&[&account.user, &account.server, &account.device, &account.state]),
        Form::Human => ctx.out.success(words),
    }
}

/// `logout`.
pub async fn logout(ctx: &mut Context, args: args::Logout) -> Result<(), End> {
    let profile = ctx.profile().await?;
    if args.wipe && !ctx.prompt.confirm(&ask::wipe(&profile), "--yes").await? {
        return Err(troubles::declined().into());
    }
    ctx.restart_clock();
    let timeout_ms = ctx.timeout_ms();
    let reply = ctx
        .call(&control::Logout {
            profile,
            all_devices: args.all_devices,
            wipe: args.wipe,
            force: args.force,
            timeout_ms,
        })
        .await?;
    match ctx.out.form {
        Form::Json => ctx.out.object("account", json::logged_out(&reply)),
        Form::Plain => ctx.out.row(&[&reply.user, &reply.state, &reply.unsent.to_string()]),
        Form::Human => ctx.out.success(&words::logged_out(&reply)),
    }
}

/// `passwd`: the old password proves who asks, the new one is typed twice.
pub async fn passwd(ctx: &mut Context, args: args::Passwd) -> Result<(), End> {
    // Asked first: it needs a login, and says whether there is anything to ask about.
    let others = super::device::devices(ctx).await?.iter().filter(|device| !device.own).count();
    let (old, new) = match given_passwords(&args)? {
        Some(given) => given,
        None => (checked(ctx.prompt.old_password().await?)?, checked(ctx.prompt.new_password("passwd").await?)?),
    };
    let revoke_others = match (args.revoke_others, args.keep_others) {
        (false, false) if others > 0 => {
            ctx.prompt.confirm(&ask::revoke_others(others), "--revoke-others or --keep-others").await?
        }
        (revoke, _) => revoke,
    };
    let profile = ctx.profile().await?;
    ctx.restart_clock();
    let mut request = control::Passwd {
        profile,
        old: old.to_string(),
        new: new.to_string(),
        revoke_others,
        timeout_ms: ctx.timeout_ms(),
    };
    let outcome = ctx.try_call(&request).await;
    request.old.zeroize();
    request.new.zeroize();
    let changed = outcome?.map_err(|error| passwd_refused(ctx, error))?;
    let kept = if revoke_others { 0 } else { others };
    match ctx.out.form {
        Form::Json => ctx.out.object("passwd", json::password_changed(&changed)),
        Form::Plain => ctx.out.row(&[&changed.user, &changed.revoked.to_string()]),
        Form::Human => ctx.out.success(&words::password_changed(&changed, kept, &ctx.out.chatctl)),
    }
}

/// It was the old password that is wrong: the name is not in question.
fn passwd_refused(ctx: &Context, error: CallError) -> End {
    match &error {
        CallError::Refused(data) if data.code == Code::WRONG_CREDENTIALS => troubles::wrong_old_password().into(),
        _ => ctx.refused(error),
    }
}

fn given_passwords(args: &args::Passwd) -> Result<Option<(Secret, Secret)>, Trouble> {
    let given = match (&args.old_password_file, &args.new_password_file) {
        (Some(old), Some(new)) => Some((secret_file(old)?, secret_file(new)?)),
        _ if args.password_stdin => Some(two_secrets_stdin()?),
        _ => None,
    };
    given.map(|(old, new)| Ok((checked(old)?, checked(new)?))).transpose()
}

/// `status`: chatd's local answer.
pub async fn status(ctx: &mut Context, args: args::Status) -> Result<(), End> {
    let profile = ctx.profile().await?;
    let wait_online_ms = args.wait.is_some().then(|| ctx.timeout_ms());
    let reply = match ctx.try_call(&control::Status { profile: profile.clone(), wait_online_ms }).await? {
        Ok(reply) => reply,
        Err(CallError::Refused(data)) if ctx.has_no_account(&data) => control::StatusReply::nobody(profile, 0),
        Err(error) => return Err(ctx.refused(error)),
    };
    let hello = ctx.daemon().await?.hello.clone();
    match ctx.out.form {
        Form::Json => ctx.out.object("status", json::status(&reply, &hello))?,
        Form::Plain => ctx.out.row(&[
            &reply.user,
            &reply.server,
            &json::link(reply.link),
            &reply.unread.to_string(),
            &reply.queued.to_string(),
            &reply.failed.to_string(),
        ])?,
        Form::Human => ctx.out.line(&words::status(&reply, &hello.build, &ctx.out.clock))?,
    }
    advise(ctx, &reply);
    judged(&args, reply.link)
}

/// What needs the user, on stderr: the reason of a lost login or link, and each problem.
fn advise(ctx: &Context, reply: &control::StatusReply) {
    for problem in reply.cause.iter().chain(&reply.problems) {
        let trouble = words::refusals::of_problem(problem, &ctx.out.clock);
        // What everybody else is sent to is this: doctor looks closer.
        let closer = trouble.next.as_deref() == Some("status");
        ctx.out.advice(&if closer { trouble.next("doctor") } else { trouble });
    }
    if let (LinkState::LoggedOut, Some(ended)) = (reply.link, &reply.ended) {
        let data = ErrorData { ended: Some(ended.clone()), ..ErrorData::from(Code::NOT_LOGGED_IN) };
        ctx.out.advice(&words::refusals::refusal(&data, &ctx.out.clock));
    } else if reply.user.is_empty() {
        ctx.out.advice(&troubles::no_account());
    }
}

fn judged(args: &args::Status, link: LinkState) -> Result<(), End> {
    match link {
        LinkState::Online => Ok(()),
        LinkState::LoggedOut if args.check || args.wait.is_some() => Err(End::Quiet(Exit::NotLoggedIn)),
        _ if args.wait.is_some() => Err(troubles::not_online().into()),
        _ if args.check => Err(End::Quiet(Exit::Unreachable)),
        _ => Ok(()),
    }
}

async fn user_name(ctx: &Context, given: Option<String>) -> Result<String, End> {
    match given {
        Some(name) => Ok(name),
        None => ctx.prompt.line(ask::NAME, "a name", "an argument: register NAME").await,
    }
}

fn given_password(args: &args::PasswordArgs) -> Result<Option<Secret>, Trouble> {
    let given = match &args.password_file {
        Some(file) if file == Path::new("-") => Some(secret_stdin()?),
        Some(file) => Some(secret_file(file)?),
        None if args.password_stdin => Some(secret_stdin()?),
        None => None,
    };
    given.map(checked).transpose()
}

fn invitation(file: Option<&Path>, stdin_taken: bool) -> Result<Option<Secret>, Trouble> {
    match file {
        None => Ok(None),
        Some(file) if file == Path::new("-") && stdin_taken => {
            Err(troubles::usage("stdin cannot be both the password and the invitation.", "help register"))
        }
        Some(file) if file == Path::new("-") => secret_stdin().map(Some),
        Some(file) => secret_file(file).map(Some),
    }
}

fn trust(args: &args::TrustArgs) -> Result<Trust, Trouble> {
    let ca = args.ca.as_deref().map(text::from_file).transpose()?;
    Ok(Trust { trust: args.trust, ca })
}

/// A call that connects to a server, whose key may have to be trusted first.
trait Trusting: Call<Reply = Account> {
    fn trust_key(&mut self, key: Fingerprint, timeout_ms: u64);
}

impl Trusting for control::Register {
    fn trust_key(&mut self, key: Fingerprint, timeout_ms: u64) {
        self.trust.trust = Some(key);
        self.timeout_ms = timeout_ms;
    }
}

impl Trusting for control::Login {
    fn trust_key(&mut self, key: Fingerprint, timeout_ms: u64) {
        self.trust.trust = Some(key);
        self.timeout_ms = timeout_ms;
    }
}

/// Calls; when the server's key is unknown, asks the person once and calls again with exactly the key that was shown.
async fn trusting<C: Trusting>(ctx: &mut Context, request: &mut C) -> Result<Result<Account, CallError>, End> {
    let outcome = ctx.try_call(request).await?;
    let Err(CallError::Refused(data)) = &outcome else {
        return Ok(outcome);
    };
    let (Code::TRUST_UNKNOWN, Some(question)) = (data.code, &data.trust) else {
        return Ok(outcome);
    };
    let words = words::trust_question(&question.server, &question.fingerprint.to_string());
    if !ctx.prompt.trust(&words).await? {
        return Ok(outcome);
    }
    let key = question.fingerprint;
    ctx.restart_clock();
    request.trust_key(key, ctx.timeout_ms());
    ctx.try_call(request).await
}
