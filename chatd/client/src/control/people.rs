//! Calls about other people: whoelse, whoelsesince, block, unblock, blocked. All are the server's to answer.

use chat_proto::control::people::{
    Block, BlockReply, Blocked, Names, PeoplePage, Person, Unblock, Whoelse, Whoelsesince,
};
use chat_proto::control::{ErrorData, Items};
use chat_proto::fault::Code;
use chat_proto::method::{self, Tag4};
use chat_proto::wire;
use prost::Message;

use super::message::recipient;
use super::within;
use crate::daemon::Daemon;
use crate::profile::{Answer, Ask, Profile};

/// Names in one answer of `names`.
const NAMES: u32 = 1000;

/// Asks the server and reads its answer.
pub(super) async fn ask<A: Message + Default>(
    profile: &Profile,
    method: Tag4,
    body: &impl Message,
    timeout_ms: u64,
) -> Answer<A> {
    let body = body.encode_to_vec().into();
    let answer = within(timeout_ms, profile.ask(|reply| Ask::Server { method, body, reply })).await?;
    A::decode(answer).map_err(|error| Box::new(ErrorData { detail: Some(error.to_string()), ..Code::PROTOCOL.into() }))
}

pub(super) async fn whoelse(d: &Daemon, call: Whoelse) -> Answer<PeoplePage> {
    let profile = d.profile(&call.profile).await?;
    let after = call.after.unwrap_or_default();
    let Some(user) = call.user else {
        return page(&profile, method::WHOELSE, wire::PeopleQuery { after, seconds: 0 }, call.timeout_ms).await;
    };
    let user = recipient(&user, profile.view().classic)?;
    let mut query = wire::PeopleQuery { after, seconds: 0 };
    // Pages are in the order of names: the one who is sought is on the page that reaches his name, or nowhere.
    loop {
        let page = page(&profile, method::WHOELSE, query.clone(), call.timeout_ms).await?;
        let last = page.items.last().map(|person| person.user.clone()).unwrap_or_default();
        if !page.more || last >= user || last <= query.after {
            let items = page.items.into_iter().filter(|person| person.user == user).collect();
            return Ok(PeoplePage { items, more: false });
        }
        query.after = last;
    }
}

pub(super) async fn whoelsesince(d: &Daemon, call: Whoelsesince) -> Answer<PeoplePage> {
    let profile = d.profile(&call.profile).await?;
    let query = wire::PeopleQuery { after: call.after.unwrap_or_default(), seconds: call.seconds };
    page(&profile, method::WHOELSESINCE, query, call.timeout_ms).await
}

async fn page(profile: &Profile, method: Tag4, query: wire::PeopleQuery, timeout_ms: u64) -> Answer<PeoplePage> {
    let people: wire::People = ask(profile, method, &query, timeout_ms).await?;
    profile.tell(Ask::Saw(people.items.iter().map(|person| person.account.clone()).collect())).await?;
    Ok(PeoplePage { items: people.items.into_iter().map(person).collect(), more: people.more })
}

fn person(p: wire::Person) -> Person {
    let last_seen_ms = (!p.online).then_some(p.last_seen_ms);
    Person { user: p.account, online: p.online, since_ms: p.since_ms, last_seen_ms, away: p.away }
}

pub(super) async fn block(d: &Daemon, call: Block) -> Answer<BlockReply> {
    let profile = d.profile(&call.profile).await?;
    change(&profile, method::BLOCK, &call.user, true, call.timeout_ms).await
}

pub(super) async fn unblock(d: &Daemon, call: Unblock) -> Answer<BlockReply> {
    let profile = d.profile(&call.profile).await?;
    change(&profile, method::UNBLOCK, &call.user, false, call.timeout_ms).await
}

async fn change(profile: &Profile, method: Tag4, typed: &str, blocked: bool, timeout_ms: u64) -> Answer<BlockReply> {
    let view = profile.view();
    let user = recipient(typed, view.classic)?;
    if user == view.user {
        return Err(Box::new(ErrorData { subject: Some(user), ..Code::YOURSELF.into() }));
    }
    let private_session = profile.ask(Ask::Sessions).await?.iter().any(|session| session.peer == user);
    let body = wire::Account { account: user.clone() };
    let changed: wire::BlockChanged = ask(profile, method, &body, timeout_ms).await.map_err(|error| {
        Box::new(ErrorData { subject: error.subject.clone().or_else(|| Some(user.clone())), ..*error })
    })?;
    Ok(BlockReply { user, blocked, changed: changed.changed, private_session })
}

/// Names known here: those of the history and those seen lately.
pub(super) async fn names(d: &Daemon, call: Names) -> Answer<Items<String>> {
    let profile = d.profile(&call.profile).await?;
    let limit = call.limit.min(NAMES);
    let prefix = call.prefix.clone();
    let known =
        profile.reader.ask(move |history| history.peers(&prefix, limit)).await.map_err(|t| super::unreadable(&t))?;
    let seen = profile.ask(Ask::Seen).await?.into_iter().filter(|name| name.starts_with(&call.prefix));
    let mut items: Vec<String> = known.into_iter().chain(seen).collect();
    items.sort_unstable();
    items.dedup();
    items.truncate(limit as usize);
    Ok(Items { items })
}

pub(super) async fn blocked(d: &Daemon, call: Blocked) -> Answer<Items<String>> {
    let profile = d.profile(&call.profile).await?;
    let blocked: wire::Blocked = ask(&profile, method::BLOCKED, &wire::Empty {}, call.timeout_ms).await?;
    Ok(Items { items: blocked.accounts })
}
