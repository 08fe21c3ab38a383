//! whoelse, whoelsesince, block, unblock, blocked.

use chat_proto::control::Call;
use chat_proto::control::people::{self as control, BlockReply, PeoplePage, Person};

use super::Context;
use crate::args;
use crate::json::{self, members};
use crate::output::{End, Form, Shown};
use crate::time::iso;
use crate::words;

/// `whoelse`: who else is online.
pub async fn whoelse(ctx: &mut Context, args: args::Whoelse) -> Result<(), End> {
    let user = args.user;
    let page = |profile, after, timeout_ms| control::Whoelse { profile, user: user.clone(), after, timeout_ms };
    list(ctx, page).await
}

/// `whoelsesince`: who else was online in the time up to now.
pub async fn whoelsesince(ctx: &mut Context, args: args::Whoelsesince) -> Result<(), End> {
    let seconds = args.since.as_secs();
    list(ctx, |profile, after, timeout_ms| control::Whoelsesince { profile, seconds, after, timeout_ms }).await
}

/// Asks for page behind page, each by a profile, the last name of the one before and the time left, and prints them all.
async fn list<C>(ctx: &mut Context, page: impl Fn(String, Option<String>, u64) -> C) -> Result<(), End>
where
    C: Call<Reply = PeoplePage>,
{
    let profile = ctx.profile().await?;
    let mut people = Vec::new();
    loop {
        let request = page(profile.clone(), last(&people), ctx.timeout_ms());
        let page = ctx.call(&request).await?;
        if !take(&mut people, page) {
            return print(ctx, &people);
        }
    }
}

fn last(people: &[Person]) -> Option<String> {
    people.last().map(|person| person.user.clone())
}

/// Adds a page; is there another? An empty page is the end whatever it says.
fn take(people: &mut Vec<Person>, page: PeoplePage) -> bool {
    let more = page.more && !page.items.is_empty();
    people.extend(page.items);
    more
}

fn print(ctx: &Context, people: &[Person]) -> Result<(), End> {
    let out = &ctx.out;
    match out.form {
        Form::Json => {
            out.object("people", json::items(people.iter().map(json::person)))?;
        }
        Form::Plain => {
            for person in people {
                let seen = person.last_seen_ms.map_or_else(String::new, iso);
                let yes = |is: bool| if is { "yes" } else { "no" };
                out.row(&[&person.user, yes(person.online), &iso(person.since_ms), &seen, yes(person.away)])?;
            }
        }
        Form::Human => {
            for person in people {
                out.line(&line(ctx, person))?;
            }
        }
    }
    ctx.listed(people.is_empty())
}

fn line(ctx: &Context, person: &Person) -> String {
    let user = Shown::name(&person.user);
    if !ctx.out.verbose {
        return user.to_string();
    }
    words::person(&user, person, &ctx.out.clock)
}

/// `block`.
pub async fn block(ctx: &mut Context, args: args::Other) -> Result<(), End> {
    let profile = ctx.profile().await?;
    let reply = ctx.call(&control::Block { profile, user: args.user, timeout_ms: ctx.timeout_ms() }).await?;
    report(ctx, &reply)
}

/// `unblock`.
pub async fn unblock(ctx: &mut Context, args: args::Other) -> Result<(), End> {
    let profile = ctx.profile().await?;
    let reply = ctx.call(&control::Unblock { profile, user: args.user, timeout_ms: ctx.timeout_ms() }).await?;
    report(ctx, &reply)
}

fn report(ctx: &Context, reply: &BlockReply) -> Result<(), End> {
    match ctx.out.form {
        Form::Json => ctx.out.object("block", json::block(reply)),
        Form::Plain => ctx.out.row(&[&reply.user, if reply.blocked { "blocked" } else { "unblocked" }]),
        Form::Human => {
            let words = words::blocked(&reply.user, reply.blocked, reply.changed, reply.private_session);
            ctx.out.success(&words)
        }
    }
}

/// `blocked`: whom this account blocks.
pub async fn blocked(ctx: &mut Context) -> Result<(), End> {
    let profile = ctx.profile().await?;
    let names = ctx.call(&control::Blocked { profile, timeout_ms: ctx.timeout_ms() }).await?.items;
    match ctx.out.form {
        Form::Json => {
            ctx.out.object("blocked", json::items(names.iter().map(|user| members!({ "user": user }))))?;
        }
        Form::Plain => names.iter().try_for_each(|user| ctx.out.row(&[user]))?,
        Form::Human => names.iter().try_for_each(|user| ctx.out.line(&Shown::name(user).to_string()))?,
    }
    ctx.listed(names.is_empty())
}
