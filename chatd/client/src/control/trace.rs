//! The call `trace`: the times that the history keeps, in their order, and the server's word on an own message.

use std::time::Duration;

use chat_proto::control::account::LinkState;
use chat_proto::control::message::State;
use chat_proto::control::trace::{Hop, ServerSays, Step, Trace, TraceMessage, WaitsFor};
use chat_proto::fault::Code;
use chat_proto::wire::kind;
use chat_proto::{method, wire};
use prost::Message as _;

use super::message::one;
use super::{unreadable, within};
use crate::daemon::Daemon;
use crate::history::trace::Times;
use crate::history::{Own, Place, Row};
use crate::profile::{Answer, Ask, Profile};
use crate::shown;

/// The server gets at most so long for its word.
const SERVER_WITHIN: Duration = Duration::from_secs(5);

pub(super) async fn trace(d: &Daemon, call: TraceMessage) -> Answer<Trace> {
    let profile = d.profile(&call.profile).await?;
    let row = one(&profile, call.id).await?;
    let index = row.index;
    let times = profile.reader.ask(move |history| history.times(index)).await.map_err(|t| unreadable(&t))?;
    let times = times.unwrap_or_default();
    let server = match row.own {
        // The server never hears of a private text, nor of its stream.
        Own::Here if row.kind == kind::PRIVATE => None,
        Own::Here => Some(asked(&profile, row.place, call.timeout_ms).await),
        Own::Elsewhere | Own::No => None,
    };
    let (hops, waits_for) = (hops(&row, times), waits_for(&row, profile.view().link));
    let message = shown::message(Row { body: Default::default(), ..row });
    Ok(Trace { message, hops, waits_for, server })
}

async fn asked(profile: &Profile, place: Place, timeout_ms: u64) -> ServerSays {
    match profile.view().link {
        LinkState::Online => {}
        LinkState::LoggedOut => return ServerSays::Nothing { code: Code::NOT_LOGGED_IN },
        LinkState::Connecting | LinkState::Waiting => return ServerSays::Nothing { code: Code::SERVER_UNREACHABLE },
    }
    let body = wire::Trace { incarnation: place.incarnation.0, cseq: place.cseq }.encode_to_vec().into();
    let ask = profile.ask(|reply| Ask::Server { method: method::TRACE, body, reply });
    let limit = u64::try_from(SERVER_WITHIN.as_millis()).unwrap_or(u64::MAX);
    match within(timeout_ms.min(limit), ask).await.map(wire::Traced::decode) {
        Ok(Ok(wire::Traced { decided: false, .. })) => ServerSays::Undecided,
        Ok(Ok(wire::Traced { kept: false, .. })) => ServerSays::Decided,
        Ok(Ok(traced)) => ServerSays::Verdict { code: Code(traced.code), place: traced.position.map(|p| p.n) },
        Ok(Err(_)) => ServerSays::Nothing { code: Code::PROTOCOL },
        Err(error) => ServerSays::Nothing { code: error.code },
    }
}

fn hop(step: Step, at_ms: Option<i64>) -> Hop {
    Hop { step, at_ms, times: None, last_at_ms: None, code: None, place: None }
}

/// What happened, in the order in which it did.
fn hops(row: &Row, times: Times) -> Vec<Hop> {
    match row.own {
        Own::No => others(row, times),
        Own::Here | Own::Elsewhere => own(row, times),
    }
}

fn own(row: &Row, times: Times) -> Vec<Hop> {
    let mut hops = Vec::new();
    if row.own == Own::Here {
        hops.push(hop(Step::Queued, Some(row.at_ms)));
        if times.sends > 0 {
            let last_at_ms = times.sent_last_ms.filter(|last| times.sent_first_ms != Some(*last));
            hops.push(Hop { times: Some(times.sends), last_at_ms, ..hop(Step::Sent, times.sent_first_ms) });
        }
    }
    match (row.own, row.n) {
        (Own::Here, Some(_)) => hops.push(Hop { place: row.n, ..hop(Step::Accepted, times.here_ms) }),
        (Own::Elsewhere, _) => {
            hops.push(Hop { place: row.n, ..hop(Step::Accepted, Some(row.at_ms)) });
            hops.push(hop(Step::Arrived, times.here_ms));
        }
        _ => {}
    }
    if row.state >= State::Delivered && !gone(row.state) {
        // A peer's verdict is its delivery.
        let at_ms = if row.kind == kind::PRIVATE { times.here_ms } else { times.delivered_ms };
        hops.push(hop(Step::Delivered, at_ms));
    }
    if row.state == State::Read {
        hops.push(hop(Step::Read, times.read_there_ms));
    }
    let code = shown::failure(row.state, row.code);
    match row.state {
        State::Failed => hops.push(Hop { code, ..hop(Step::Failed, times.here_ms) }),
        State::Expired => hops.push(Hop { code, ..hop(Step::Expired, times.over_ms) }),
        _ => {}
    }
    hops
}

fn gone(state: State) -> bool {
    matches!(state, State::Failed | State::Expired)
}

fn others(row: &Row, times: Times) -> Vec<Hop> {
    let accepted = (row.kind != kind::PRIVATE).then(|| Hop { place: row.n, ..hop(Step::Accepted, Some(row.at_ms)) });
    let mut hops: Vec<Hop> = accepted.into_iter().chain([hop(Step::Arrived, times.here_ms)]).collect();
    if row.state == State::Read && !row.from.is_empty() {
        hops.push(hop(Step::ReadHere, times.read_ms));
        if times.read_told {
            hops.push(hop(Step::ReadTold, None));
        }
    }
    hops
}

fn waits_for(row: &Row, link: LinkState) -> Option<WaitsFor> {
    let direct = row.kind == wire::kind::DIRECT && row.own != Own::No;
    match (row.state, link) {
        (State::Queued, _) if row.kind == kind::PRIVATE => Some(WaitsFor::Recipient),
        (State::Queued, LinkState::LoggedOut) => Some(WaitsFor::Login),
        (State::Queued, LinkState::Online) => Some(WaitsFor::Verdict),
        (State::Queued, LinkState::Connecting | LinkState::Waiting) => Some(WaitsFor::Link),
        (State::Accepted, _) if direct => Some(WaitsFor::Recipient),
        (State::Delivered, _) if direct => Some(WaitsFor::Reader),
        _ => None,
    }
}
