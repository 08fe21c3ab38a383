//! Rows of the history as control messages: the one place where a stored body becomes text. Used by the control handlers and by
//! owners for events.

use chat_proto::control::events::Event;
use chat_proto::control::message::{Kind, Message, RunEnded, Sent, State};
use chat_proto::fault::Code;
use chat_proto::id::MessageId;
use chat_proto::wire::{DeviceNotice, TEXT_PLAIN, kind};
use prost::Message as _;

use crate::history::{KIND_GAP, Own, Row};

/// The content type of a text, with what else is known of it.
pub fn content_type(reply: Option<&MessageId>, urgent: bool, run: Option<RunEnded>) -> String {
    let mut text = TEXT_PLAIN.to_owned();
    if let Some(id) = reply {
        text.push_str(";reply=");
        text.push_str(&id.0);
    }
    if urgent {
        text.push_str(";urgent=1");
    }
    if let Some(RunEnded { exit, duration_ms }) = run {
        text.push_str(&format!(";exit={exit};duration_ms={duration_ms}"));
    }
    text
}

/// A parameter of a content type.
fn parameter<'a>(content_type: &'a str, name: &str) -> Option<&'a str> {
    content_type.split(';').skip(1).find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='))
}

fn run(content_type: &str) -> Option<RunEnded> {
    let exit = parameter(content_type, "exit")?.parse().ok()?;
    let duration_ms = parameter(content_type, "duration_ms")?.parse().ok()?;
    Some(RunEnded { exit, duration_ms })
}

fn base(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

/// The message as `read`, `show`, `outbox` and `watch` give it.
pub fn message(row: Row) -> Message {
    Message {
        index: row.index,
        text: text(&row),
        kind: kind_of(&row),
        run: run(&row.content_type),
        reply_to: parameter(&row.content_type, "reply").map(|id| MessageId(id.to_owned())),
        content_type: base(&row.content_type).to_owned(),
        id: row.id,
        key: row.key,
        from: row.from,
        to: (!row.to.is_empty()).then_some(row.to),
        at_ms: row.at_ms,
        state: row.state,
        code: row.code,
        own: row.own != Own::No,
    }
}

fn kind_of(row: &Row) -> Kind {
    match row.kind {
        _ if row.from.is_empty() => Kind::System,
        kind::DIRECT => Kind::Direct,
        kind::BROADCAST => Kind::Broadcast,
        kind::PRIVATE => Kind::Private,
        _ => Kind::System,
    }
}

fn text(row: &Row) -> String {
    match row.kind {
        KIND_GAP => format!("{} messages are missing here", String::from_utf8_lossy(&row.body)),
        kind::DEVICE if row.from.is_empty() => device(row),
        _ if base(&row.content_type) == TEXT_PLAIN || row.content_type.is_empty() => {
            String::from_utf8_lossy(&row.body).into_owned()
        }
        _ => format!("[{}, {} bytes]", base(&row.content_type), row.body.len()),
    }
}

fn device(row: &Row) -> String {
    let notice = DeviceNotice::decode(row.body.clone()).unwrap_or_default();
    match notice.what {
        DeviceNotice::ENROLLED => format!("device {} was enrolled", notice.name),
        DeviceNotice::REVOKED => format!("device {} was revoked", notice.name),
        DeviceNotice::COPY => format!("an old copy of device {} is running", notice.name),
        DeviceNotice::PASSWORD_CHANGED => "the password was changed".to_owned(),
        DeviceNotice::PASSWORD_RESET => "the password was changed by the server's operator".to_owned(),
        _ => format!("something happened to device {}", notice.name),
    }
}

/// What the sender is told.
pub fn sent(row: &Row, duplicate: bool) -> Sent {
    Sent {
        id: row.id.clone(),
        key: row.key.clone().unwrap_or_default(),
        to: (!row.to.is_empty()).then(|| row.to.clone()),
        state: row.state,
        at_ms: row.at_ms,
        recipient_online: row.online,
        duplicate,
        audience: row.audience,
        missed: row.missed,
        pending: None,
        retry_after_ms: None,
        cause: None,
    }
}

/// The event of a new row; own messages of this device have none, their sender knows. What stands before a gap is not known here:
/// it is filled in where the event is given out.
pub fn arrived(row: Row) -> Option<Event> {
    match (row.own, row.kind) {
        (Own::Here, _) => None,
        (_, KIND_GAP) => {
            let count = String::from_utf8_lossy(&row.body).parse().unwrap_or_default();
            Some(Event::Gap { index: row.index, from: None, to: Some(row.id), count, at_ms: row.at_ms })
        }
        _ => Some(Event::Message(message(row))),
    }
}

/// The event of a row that got further.
pub fn moved(row: &Row, at_ms: i64) -> Event {
    Event::Receipt {
        id: row.id.clone(),
        key: row.key.clone(),
        to: (!row.to.is_empty()).then(|| row.to.clone()),
        state: row.state,
        code: row.code,
        at_ms,
    }
}

/// Why a message that is over did not get there.
pub fn failure(state: State, code: Option<Code>) -> Option<Code> {
    match state {
        State::Failed => Some(code.unwrap_or(Code::INTERNAL)),
        State::Expired => Some(code.unwrap_or(Code::EXPIRED)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_carry_what_a_message_answers() {
        let id = MessageId("abc".into());
        let ended = RunEnded { exit: 137, duration_ms: 250_000 };
        let full = content_type(Some(&id), true, Some(ended));
        assert_eq!(run(&full), Some(ended));
        assert_eq!(run("text/plain;exit=much;duration_ms=1"), None);
        assert_eq!(parameter(&full, "reply"), Some("abc"));
        assert_eq!((base(&full), parameter(&full, "urgent")), (TEXT_PLAIN, Some("1")));
        assert_eq!(content_type(None, false, None), TEXT_PLAIN);
    }
}
