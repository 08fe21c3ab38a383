//! What a hook gets: the object that `watch --json` prints for the event, and the little that stands in its environment.

use chat_local::json::{self, iso, object};
use chat_local::members;
use chat_proto::control::account::LinkState;
use chat_proto::control::events::Event;
use chat_proto::control::hooks::Occasion;
use chat_proto::control::message::{Kind, Message, State};
use chat_proto::control::private::{Direction, RequestState};
use chat_proto::fault::Code;
use chat_proto::id::MessageId;

use crate::config::Hook;
use crate::profile::View;

/// An event for a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The object for its stdin.
    pub object: String,
    /// Who caused it; empty where nobody did.
    pub from: String,
    /// The message's id; empty where it is no message.
    pub id: String,
}

/// Hints are chatctl's to make.
fn no_hint(_: Code) -> Option<String> {
    None
}

/// A message.
pub fn message(message: &Message) -> Notice {
    let object = object("message", json::message(message));
    Notice { object, from: message.from.clone(), id: message.id.0.clone() }
}

/// The news that an event is, if hooks can wait for it. Messages come from the history.
pub fn news(event: &Event) -> Option<(Occasion, String, Option<String>)> {
    let (occasion, from) = match event {
        Event::Presence { user, .. } => (Occasion::Presence, Some(user.clone())),
        Event::PresenceMany { .. } => (Occasion::Presence, None),
        Event::Link { .. } => (Occasion::Link, None),
        Event::PrivateRequest(request) if request.dir == Direction::In && request.state == RequestState::Asked => {
            (Occasion::PrivateRequest, Some(request.peer.clone()))
        }
        Event::PrivateEnded(ended) => (Occasion::PrivateEnded, Some(ended.peer.clone())),
        Event::FileOffer(file) => (Occasion::FileOffer, Some(file.peer.clone())),
        _ => return None,
    };
    let (kind, members) = json::event(event, &no_hint);
    Some((occasion, object(kind, members), from))
}

/// The account logged in or out.
pub fn login(view: &View, at_ms: i64) -> String {
    let out = view.link == LinkState::LoggedOut;
    let state = if out { "logged_out" } else { "logged_in" };
    let reason = view.ended.as_ref().filter(|_| out).map(|ended| ended.code);
    object("login", members!({ "user": view.user, "state": state, "reason": reason, "at": iso(at_ms) }))
}

/// A sample of what a hook waits for.
pub fn sample(hook: &Hook, user: &str, now_ms: i64) -> Notice {
    let from = hook.from.first().map_or("alice", String::as_str).to_owned();
    let at = iso(now_ms);
    let said = |kind: &str, members| object(kind, members);
    let object = match hook.on {
        Occasion::Message => return message(&sample_message(&from, user, now_ms)),
        Occasion::Presence => {
            said("presence", members!({ "user": from, "state": "online", "reason": "login", "at": at }))
        }
        Occasion::PrivateRequest => said(
            "private_request",
            members!({ "id": "sample", "peer": from, "dir": "in", "state": "asked", "note": "a sample", "at": at, "expires_at": iso(now_ms + 120_000) }),
        ),
        Occasion::PrivateEnded => said("private_ended", members!({ "peer": from, "reason": "peer", "at": at })),
        Occasion::FileOffer => {
            said("file_offer", members!({ "id": "sample", "peer": from, "name": "sample.txt", "size": 1, "at": at }))
        }
        Occasion::Login => {
            said("login", members!({ "user": user, "state": "logged_in", "reason": None::<String>, "at": at }))
        }
        Occasion::Link => said("link", members!({ "state": LinkState::Online, "cause": None::<String>, "at": at })),
    };
    let from = if hook.on.has_person() { from } else { String::new() };
    Notice { object, from, id: String::new() }
}

fn sample_message(from: &str, user: &str, at_ms: i64) -> Message {
    Message {
        index: 0,
        id: MessageId("sample".into()),
        key: None,
        from: from.to_owned(),
        to: Some(user.to_owned()),
        kind: Kind::Direct,
        text: "This is a sample, to try the hook.".into(),
        at_ms,
        state: State::Delivered,
        code: None,
        own: false,
        reply_to: None,
        run: None,
        content_type: "text/plain".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_sample_for_everything_is_one_line_of_json() {
        for on in Occasion::ALL {
            let hook = Hook {
                name: "x".into(),
                on,
                from: vec!["ci".into()],
                profile: None,
                run: vec!["/bin/true".into()],
                timeout: Duration::from_secs(1),
                retries: 0,
                retry_after: Duration::from_secs(1),
            };
            let notice = sample(&hook, "bob", 0);
            let value: serde_json::Value = serde_json::from_str(&notice.object).expect("JSON");
            assert_eq!((value["v"].as_u64(), value["type"].as_str()), (Some(1), Some(on.word())));
            assert_eq!(notice.from, if on.has_person() { "ci" } else { "" });
            assert!(!notice.object.contains('\n'));
        }
    }

    #[test]
    fn news_has_the_person_where_there_is_one() {
        let event = Event::Presence { user: "yoda".into(), state: "online".into(), reason: "login".into(), at_ms: 5 };
        let (on, object, from) = news(&event).expect("news");
        assert_eq!((on, from.as_deref()), (Occasion::Presence, Some("yoda")));
        assert!(object.starts_with(r#"{"v":1,"type":"presence","user":"yoda","state":"online""#), "{object}");
        let id = MessageId("x".into());
        let receipt = Event::Receipt { id, key: None, to: None, state: State::Read, code: None, at_ms: 0 };
        assert_eq!(news(&receipt), None, "nobody waits for it");
    }
}
