//! Format 1 of what both programs of a host say in JSON: what `chatctl --json` prints of an event, and what chatd hands to a hook.
//!
//! chatctl's other objects are its own (`chatctl/src/json.rs`), made of the same pieces. Fields are only ever added.

use chat_proto::control::account::{LinkState, Problem};
use chat_proto::control::events::Event;
use chat_proto::control::file::File;
use chat_proto::control::message::{Kind, Message};
use chat_proto::control::private::{KeyState, PrivateEnded, PrivateRequest, PrivateSession};
use chat_proto::display;
use chat_proto::fault::Code;
use jiff::Timestamp;
use serde::Serialize;

/// A value as JSON text. Text, as the order of members is part of what people see and serde's own objects are sorted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Json(pub String);

/// What can be a member's value.
pub trait ToJson {
    /// Its JSON.
    fn to_json(&self) -> String;
}

impl<T: Serialize> ToJson for T {
    fn to_json(&self) -> String {
        // Only a map with keys that are no text could fail, and there is none.
        serde_json::to_string(self).unwrap_or_else(|_| "null".to_owned())
    }
}

impl ToJson for Json {
    fn to_json(&self) -> String {
        self.0.clone()
    }
}

impl Json {
    /// An object of these members.
    pub fn object(members: &[(&str, String)]) -> Json {
        let members: Vec<_> = members.iter().map(|(name, value)| format!("{}:{value}", name.to_json())).collect();
        Json(format!("{{{}}}", members.join(",")))
    }

    /// The value, or `null`.
    pub fn or_null(value: Option<Json>) -> Json {
        value.unwrap_or_else(|| Json("null".to_owned()))
    }

    /// A list.
    pub fn list(items: impl IntoIterator<Item = Json>) -> Json {
        let items: Vec<_> = items.into_iter().map(|item| item.0).collect();
        Json(format!("[{}]", items.join(",")))
    }

    /// The object with one more member.
    pub fn with(self, name: &str, value: &impl ToJson) -> Json {
        let open = self.0.strip_suffix('}').unwrap_or(&self.0);
        Json(format!("{open},{}:{}}}", name.to_json(), value.to_json()))
    }
}

/// An object of JSON, its members in the order written.
#[macro_export]
macro_rules! members {
    ({ $($name:literal: $value:expr),* $(,)? }) => {
        $crate::json::Json::object(&[$(($name, $crate::json::ToJson::to_json(&$value))),*])
    };
}

/// An object of format 1 as one line.
pub fn object(kind: &str, members: Json) -> String {
    let rest = members.0.strip_prefix('{').unwrap_or(&members.0);
    let comma = if rest == "}" { "" } else { "," };
    escaped(&format!("{{\"v\":1,\"type\":{}{comma}{rest}", kind.to_json()))
}

/// A time in JSON: RFC 3339, UTC, with milliseconds.
pub fn iso(ms: i64) -> String {
    Timestamp::from_millisecond(ms).map_or_else(|_| "?".to_owned(), |at| format!("{at:.3}"))
}

/// A problem; `hint` says what to run when a code is the problem.
pub fn problem(problem: &Problem, hint: &impl Fn(Code) -> Option<String>) -> Json {
    let hint = hint(problem.code);
    members!({"code": problem.code, "subject": problem.subject, "hint": hint})
}

/// The word that a unit variant is in JSON, without quotes.
pub fn word(value: &impl Serialize) -> String {
    value.to_json().trim_matches('"').to_owned()
}

/// The word for a link's state.
pub fn link(state: LinkState) -> String {
    word(&state)
}

/// The word for a message's kind.
pub fn kind(kind: Kind) -> String {
    word(&kind)
}

/// A message of the history: in lists, and as the event `message`.
pub fn message(message: &Message) -> Json {
    let mut members = members!({
        "id": message.id,
        "from": message.from,
        "to": message.to,
        "kind": kind(message.kind),
        "text": message.text,
        "at": iso(message.at_ms),
        "state": message.state.word(),
        "reply_to": message.reply_to,
        "own": message.own,
        "content_type": message.content_type,
    });
    if let Some(run) = message.run {
        members = members.with("run", &members!({ "exit": run.exit, "duration_ms": run.duration_ms }));
    }
    if let Some(key) = &message.key {
        members = members.with("key", key);
    }
    if let Some(code) = message.code {
        members = members.with("code", &code);
    }
    members
}

/// An event: its type and members. `hint` says what to run when a code is the problem.
pub fn event(event: &Event, hint: &impl Fn(Code) -> Option<String>) -> (&'static str, Json) {
    match event {
        Event::Message(inner) => ("message", message(inner)),
        Event::Presence { user, state, reason, at_ms } => {
            ("presence", members!({"user": user, "state": state, "reason": reason, "at": iso(*at_ms)}))
        }
        Event::PresenceMany { count, at_ms } => ("presence_many", members!({"count": count, "at": iso(*at_ms)})),
        Event::Receipt { id, key, to, state, code, at_ms } => (
            "receipt",
            members!({"id": id, "key": key, "to": to, "state": state.word(), "code": code, "at": iso(*at_ms)}),
        ),
        Event::Link { state, cause, at_ms } => (
            "link",
            members!({"state": link(*state), "cause": Json::or_null(cause.as_ref().map(|cause| problem(cause, hint))), "at": iso(*at_ms)}),
        ),
        Event::PrivateRequest(request) => ("private_request", private_request(request)),
        Event::PrivateSession(session) => ("private_session", private_session(session)),
        Event::PrivateEnded(ended) => ("private_ended", private_ended(ended)),
        Event::FileOffer(offer) => ("file_offer", file(offer)),
        Event::File(transfer) => ("file", file(transfer)),
        Event::Unread { at_ms } => ("unread_changed", members!({"at": iso(*at_ms)})),
        // The id is that of its end: what is acknowledged stands under the same name as in a message.
        Event::Gap { from, to, count, at_ms, .. } => {
            ("gap", members!({"id": to, "from": from, "to": to, "count": count, "at": iso(*at_ms)}))
        }
    }
}

/// A private request.
pub fn private_request(request: &PrivateRequest) -> Json {
    let members = members!({
        "id": request.id,
        "peer": request.peer,
        "dir": request.dir,
        "state": request.state,
        "note": request.note,
        "at": iso(request.at_ms),
        "expires_at": iso(request.expires_at_ms),
    });
    match &request.session {
        Some(session) => members.with("session", &private_session(session)),
        None => members,
    }
}

/// A private session.
pub fn private_session(session: &PrivateSession) -> Json {
    members!({
        "id": session.id,
        "peer": session.peer,
        "state": session.state,
        "path": session.path,
        "why": session.why,
        "address": session.address,
        "rtt_ms": session.rtt_us.map(|us| us as f64 / 1000.0),
        "since": iso(session.since_ms),
        "changed": iso(session.changed_ms),
        "until": session.until_ms.map(iso),
        "key": session.key,
        "known": session.known,
        "verified": session.known == Some(KeyState::Verified),
        "relay_only": session.relay_only,
        "direct_only": session.direct_only,
        "queued": session.queued,
    })
}

/// A private session that is over.
pub fn private_ended(ended: &PrivateEnded) -> Json {
    members!({
        "peer": ended.peer,
        "reason": ended.reason,
        "by_peer": ended.by_peer,
        "failed": ended.failed,
        "unsettled": ended.unsettled,
        "at": iso(ended.at_ms),
    })
}

/// A file that is offered, under way, or was.
pub fn file(file: &File) -> Json {
    members!({
        "id": file.id,
        "peer": file.peer,
        "dir": file.dir,
        "name": file.name,
        "size": file.size,
        "done": file.done,
        "state": file.state,
        "sha256": file.sha256,
        "path": file.path,
        "code": file.code,
        "by_peer": file.by_peer,
        "rate": file.rate,
        "at": iso(file.at_ms),
    })
}

/// JSON that a terminal shows and does not obey: what [`display`] would escape is escaped as JSON does, so the value is unchanged.
pub fn escaped(plain: &str) -> String {
    if plain.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return plain.to_owned();
    }
    let mut out = String::with_capacity(plain.len() + 64);
    for c in plain.chars() {
        let mut utf8 = [0; 4];
        let text: &str = c.encode_utf8(&mut utf8);
        if c.is_ascii_graphic() || c == ' ' || display::line(text) == text {
            out.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            out.push_str(&format!("\\u{unit:04x}"));
        }
    }
    out
}
