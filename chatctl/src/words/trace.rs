//! The timeline of `trace` in words.

use std::time::Duration;

use chat_proto::control::message::Message;
use chat_proto::control::trace::{Hop, ServerSays, Step, WaitsFor};
use chat_proto::fault::Code;

use super::refusals::reason;
use crate::output::Shown;
use crate::time::{Clock, exact};

/// Columns of a time and of a gap.
const GAP: usize = 8;

/// The lines of the timeline; the first says which message it is.
pub fn timeline(message: &Message, hops: &[Hop], clock: &Clock) -> Vec<String> {
    let times: Vec<String> =
        hops.iter().map(|hop| hop.at_ms.map_or_else(|| "?".into(), |at| clock.show_exact(at))).collect();
    let width = times.iter().map(|time| time.chars().count()).max().unwrap_or_default();
    let mut lines = vec![super::progress(message, clock)];
    let mut before: Option<i64> = None;
    for (hop, time) in hops.iter().zip(times) {
        let gap = match (before, hop.at_ms) {
            (Some(before), Some(at)) => gap(at - before),
            _ => String::new(),
        };
        lines.push(format!("  {time:<width$}  {gap:<GAP$}{}", step(message, hop, clock)));
        before = hop.at_ms.or(before);
    }
    lines
}

/// The time between two steps. Two clocks may disagree: then it is negative.
fn gap(ms: i64) -> String {
    let length = exact(Duration::from_millis(ms.unsigned_abs()));
    if ms < 0 { format!("-{length}") } else { format!("+{length}") }
}

fn step(message: &Message, hop: &Hop, clock: &Clock) -> String {
    let to = Shown::name(message.to.as_deref().unwrap_or("everyone online"));
    let place = hop.place.map(|place| format!(" (place {place})")).unwrap_or_default();
    let why = hop.code.map(|code| format!(": {}", reason(code))).unwrap_or_default();
    match hop.step {
        Step::Queued => "queued on this host".to_owned(),
        Step::Sent => sent(hop, clock),
        Step::Accepted if message.own => format!("accepted by the server{place}"),
        Step::Accepted => format!("accepted by the server, by its clock{place}"),
        Step::Failed => format!("failed{why}"),
        Step::Delivered => format!("on a device of {to}"),
        Step::Read => format!("read by {to}"),
        Step::Expired => format!("expired{why}"),
        Step::Arrived => "in the history of this host".to_owned(),
        Step::ReadHere => "read by you".to_owned(),
        Step::ReadTold => "the server knows that you read it".to_owned(),
    }
}

fn sent(hop: &Hop, clock: &Clock) -> String {
    match (hop.times, hop.last_at_ms) {
        (Some(times @ 2..), Some(last)) => {
            format!("sent to the server, {times} times, last {}", clock.show_exact(last))
        }
        (Some(times @ 2..), None) => format!("sent to the server, {times} times"),
        _ => "sent to the server".to_owned(),
    }
}

/// What the message waits for.
pub fn waits_for(message: &Message, waits: WaitsFor) -> String {
    let to = Shown::name(message.to.as_deref().unwrap_or("everyone online"));
    match waits {
        WaitsFor::Login => "waits for a login: chatctl login".to_owned(),
        WaitsFor::Link => "waits for the link to the server: chatctl status".to_owned(),
        WaitsFor::Verdict => "waits for the server's verdict".to_owned(),
        WaitsFor::Recipient => format!("waits for a device of {to}"),
        WaitsFor::Reader => format!("{to} has not read it, or does not tell"),
    }
}

/// What the server says; nothing where that adds nothing.
pub fn server(says: &ServerSays) -> String {
    match says {
        ServerSays::Nothing { code: Code::UNSUPPORTED } => "the server is too old to be asked".to_owned(),
        ServerSays::Nothing { code } => format!("the server could not be asked: {}", reason(*code)),
        ServerSays::Undecided => "the server says: it has not decided this message".to_owned(),
        ServerSays::Decided => "the server says: decided, too long ago to say how".to_owned(),
        ServerSays::Verdict { code: Code::ACCEPTED, place: Some(place) } => {
            format!("the server says: accepted (place {place})")
        }
        ServerSays::Verdict { code, .. } => format!("the server says: {}", reason(*code)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Style;
    use chat_proto::control::message::{Kind, State};
    use chat_proto::id::MessageId;

    fn hop(step: Step, at_ms: Option<i64>) -> Hop {
        Hop { step, at_ms, times: None, last_at_ms: None, code: None, place: None }
    }

    #[test]
    fn it_reads_like_a_timeline() {
        let clock = Clock {
            now: jiff::Timestamp::UNIX_EPOCH,
            zone: jiff::tz::TimeZone::UTC,
            twelve: false,
            style: Style::Auto,
        };
        let message = Message {
            index: 1,
            id: MessageId("000000000000m7k2".into()),
            key: None,
            from: "alice".into(),
            to: Some("bob".into()),
            kind: Kind::Direct,
            text: String::new(),
            content_type: "text/plain".into(),
            at_ms: 0,
            state: State::Accepted,
            code: None,
            own: true,
            reply_to: None,
            run: None,
        };
        let hops = [
            hop(Step::Queued, Some(0)),
            Hop { times: Some(2), last_at_ms: Some(61_000), ..hop(Step::Sent, Some(5)) },
            Hop { place: Some(300), ..hop(Step::Accepted, Some(61_250)) },
            hop(Step::Delivered, None),
        ];
        assert_eq!(
            timeline(&message, &hops, &clock),
            [
                "m7k2 to bob: accepted 00:00",
                "  00:00:00.000          queued on this host",
                "  00:00:00.005  +5ms    sent to the server, 2 times, last 00:01:01.000",
                "  00:01:01.250  +1m01s  accepted by the server (place 300)",
                "  ?                     on a device of bob",
            ]
        );
        assert_eq!(gap(-1500), "-1.5s");
    }
}
