//! The objects of format 1: what a reply of chatd is in `--json`. Fields are only ever added; the samples of the manual are the tests.
//!
//! Each function gives the members; `v` and `type` are put in front by `output.rs`. Events and messages are made in
//! `chat_local::json`, as chatd's hooks get them too.

pub use chat_local::json::{
    Json, ToJson, file, kind, link, message, private_ended, private_request, private_session, word,
};
pub(crate) use chat_local::members;
use chat_proto::control::account::{Account, LoggedOut, PasswordChanged, Problem, StatusReply};
use chat_proto::control::config::{Profile, Trusted};
use chat_proto::control::daemon::{DaemonInfo, HelloReply};
use chat_proto::control::device::Device;
use chat_proto::control::events::{Cursor, Event};
use chat_proto::control::hooks::{Hook, Letter, Outcome, Ran};
use chat_proto::control::message::{Conversation, Kind, Sent, UnreadReply};
use chat_proto::control::people::{BlockReply, Person};
use chat_proto::control::private::{KeyState, Stopped, Verification};
use chat_proto::control::trace::{Hop, ServerSays, Trace};
use chat_proto::fault::Code;

use crate::time::iso;
use crate::words::refusals;

/// `trace`.
pub fn trace(trace: &Trace) -> Json {
    let hop = |hop: &Hop| {
        members!({
            "step": hop.step,
            "at": hop.at_ms.map(iso),
            "times": hop.times,
            "last_at": hop.last_at_ms.map(iso),
            "code": hop.code,
            "place": hop.place,
        })
    };
    let m = &trace.message;
    members!({
        "id": m.id,
        "from": m.from,
        "to": m.to,
        "kind": kind(m.kind),
        "state": m.state.word(),
        "own": m.own,
        "key": m.key,
        "code": m.code,
        "hops": Json::list(trace.hops.iter().map(hop)),
        "waits_for": trace.waits_for,
        "server": Json::or_null(trace.server.as_ref().map(server_says)),
    })
}

fn server_says(says: &ServerSays) -> Json {
    let (word, code, place) = match says {
        ServerSays::Nothing { code } => ("nothing", Some(*code), None),
        ServerSays::Undecided => ("undecided", None, None),
        ServerSays::Decided => ("decided", None, None),
        ServerSays::Verdict { code, place } => ("verdict", Some(*code), *place),
    };
    members!({ "says": word, "code": code, "place": place })
}

/// How a run ended.
pub fn outcome(outcome: &Outcome) -> Json {
    let (code, signal, detail) = match outcome {
        Outcome::Exited { code } => (Some(*code), None, None),
        Outcome::Killed { signal } => (None, Some(*signal), None),
        Outcome::TimedOut => (None, None, None),
        Outcome::NotStarted { detail } => (None, None, Some(detail)),
    };
    let result = match outcome {
        Outcome::Exited { .. } => "exited",
        Outcome::Killed { .. } => "killed",
        Outcome::TimedOut => "timed_out",
        Outcome::NotStarted { .. } => "not_started",
    };
    members!({ "result": result, "exit": code, "signal": signal, "detail": detail })
}

/// One hook of `hooks`.
pub fn hook(hook: &Hook) -> Json {
    members!({
        "name": hook.name,
        "on": hook.on,
        "from": hook.from,
        "run": hook.run,
        "timeout_ms": hook.timeout_ms,
        "retries": hook.retries,
        "runs": hook.runs,
        "failures": hook.failures,
        "last_at": hook.last_at_ms.map(iso),
        "last_error": Json::or_null(hook.last_error.as_ref().map(outcome)),
        "running": hook.running,
        "waiting": hook.waiting,
        "retrying": hook.retrying,
        "dead": hook.dead,
        "missed": hook.missed,
    })
}

/// One run of `hooks_test`.
pub fn ran(ran: &Ran) -> Json {
    members!({
        "name": ran.name,
        "outcome": outcome(&ran.outcome),
        "duration_ms": ran.duration_ms,
        "output": ran.output,
        "cut": ran.cut,
    })
}

/// One letter of `hook_letters`.
pub fn letter(letter: &Letter) -> Json {
    members!({
        "id": letter.id.to_string(),
        "hook": letter.hook,
        "message": letter.message,
        "from": letter.from,
        "at": iso(letter.at_ms),
        "tries": letter.tries,
        "outcome": outcome(&letter.outcome),
    })
}

/// What to run when a code is the problem.
fn hint(code: Code) -> Option<String> {
    refusals::next(code).map(|next| format!("chatctl {next}"))
}

fn problem(problem: &Problem) -> Json {
    chat_local::json::problem(problem, &hint)
}

/// An event: its type and members.
pub fn event(event: &Event) -> (&'static str, Json) {
    chat_local::json::event(event, &hint)
}

/// A whole list.
pub fn items(items: impl IntoIterator<Item = Json>) -> Json {
    members!({ "items": Json::list(items) })
}

/// `messages`: all pages in one.
pub fn messages(items: impl IntoIterator<Item = Json>) -> Json {
    members!({ "items": Json::list(items), "next": None::<String> })
}

/// `account` after register and login.
pub fn account(reply: &Account) -> Json {
    members!({
        "user": reply.user,
        "server": reply.server,
        "device": reply.device,
        "state": reply.state,
        "unread": reply.unread,
        "unread_people": reply.unread_people,
    })
}

/// `account` after logout.
pub fn logged_out(reply: &LoggedOut) -> Json {
    members!({
        "user": reply.user,
        "state": reply.state,
        "ended": reply.ended,
        "unsent": reply.unsent,
        "confirmed": reply.confirmed,
    })
}

/// `status`.
pub fn status(reply: &StatusReply, hello: &HelloReply) -> Json {
    let account = (!reply.user.is_empty())
        .then(|| members!({"user": reply.user, "server": reply.server, "device": reply.device}));
    let ended = reply.ended.as_ref().map(|ended| members!({"code": ended.code, "at": iso(ended.at_ms)}));
    members!({
        "profile": reply.profile,
        "account": Json::or_null(account),
        "link": members!({
            "state": link(reply.link),
            "since": iso(reply.since_ms),
            "rtt_ms": reply.rtt_ms,
            "cause": Json::or_null(reply.cause.as_ref().map(problem)),
            "retry_after_ms": reply.retry_after_ms,
        }),
        "ended": Json::or_null(ended),
        "unread": reply.unread,
        "queued": reply.queued,
        "failed": reply.failed,
        "requests": reply.requests,
        "sessions": reply.sessions,
        "daemon": members!({"version": hello.build, "pid": hello.pid, "proto": hello.version}),
        "server": members!({"version": reply.server_version}),
        "problems": Json::list(reply.problems.iter().map(problem)),
    })
}

/// `message` as the answer to sending one.
pub fn sent(sent: &Sent) -> Json {
    sent_as(sent, if sent.to.is_some() { Kind::Direct } else { Kind::Broadcast })
}

/// `message` as the answer to sending one of this kind.
pub fn sent_as(sent: &Sent, as_kind: Kind) -> Json {
    members!({
        "id": sent.id,
        "to": sent.to,
        "kind": kind(as_kind),
        "state": sent.state.word(),
        "at": iso(sent.at_ms),
        "recipient_online": sent.recipient_online,
        "duplicate": sent.duplicate,
        "key": sent.key,
    })
}

/// `broadcast`: how many, never who.
pub fn broadcast(sent: &Sent) -> Json {
    members!({
        "id": sent.id,
        "sent": sent.audience,
        "complete": !sent.missed,
        "state": sent.state.word(),
        "at": iso(sent.at_ms),
        "duplicate": sent.duplicate,
        "key": sent.key,
    })
}

/// One conversation of `conversations`.
pub fn conversation(conversation: &Conversation) -> Json {
    members!({"user": conversation.user, "unread": conversation.unread, "last": message(&conversation.last)})
}

/// `unread`.
pub fn unread(reply: &UnreadReply) -> Json {
    let people = Json::list(reply.people.iter().map(|person| members!({"user": person.user, "count": person.count})));
    members!({"total": reply.total, "people": people, "requests": reply.requests})
}

/// One person of `people`.
pub fn person(person: &Person) -> Json {
    members!({
        "user": person.user,
        "online": person.online,
        "since": iso(person.since_ms),
        "last_seen": person.last_seen_ms.map(iso),
        "away": person.away,
    })
}

/// `block`.
pub fn block(reply: &BlockReply) -> Json {
    members!({
        "user": reply.user,
        "blocked": reply.blocked,
        "changed": reply.changed,
        "private_session": reply.private_session,
    })
}

/// `stopped`.
pub fn stopped(stopped: &Stopped) -> Json {
    items(stopped.items.iter().map(private_ended)).with("withdrawn", &stopped.withdrawn)
}

/// `verification`.
pub fn verification(with: &Verification) -> Json {
    members!({
        "peer": with.peer,
        "code": with.code,
        "key": with.key,
        "own_key": with.own_key,
        "known": with.known,
        "verified": with.known == KeyState::Verified,
    })
}

/// `passwd`.
pub fn password_changed(changed: &PasswordChanged) -> Json {
    members!({"user": changed.user, "revoked": changed.revoked})
}

/// One device of `devices`.
pub fn device(device: &Device) -> Json {
    members!({
        "id": device.id,
        "name": device.name,
        "since": device.since_ms.map(iso),
        "last_seen": device.seen_ms.map(iso),
        "online": device.online,
        "own": device.own,
    })
}

/// One profile of `profiles`.
pub fn profile(profile: &Profile) -> Json {
    members!({
        "name": profile.name,
        "user": profile.user,
        "server": profile.server,
        "default": profile.default,
        "state": link(profile.link),
    })
}

/// One key of `trust`.
pub fn trusted(trusted: &Trusted) -> Json {
    members!({
        "kind": trusted.kind,
        "name": trusted.name,
        "fingerprint": trusted.fingerprint,
        "since": iso(trusted.since_ms),
        "by": trusted.by,
    })
}

/// `daemon`.
pub fn daemon(info: &DaemonInfo) -> Json {
    members!({
        "state": "running",
        "version": info.version,
        "pid": info.pid,
        "proto": members!({"min": info.proto.min, "max": info.proto.max}),
        "since": iso(info.since_ms),
        "socket": info.socket,
        "log": info.log,
        "profiles": info.profiles,
        "connections": info.connections,
        "sandbox": Json::or_null(info.sandbox.map(|sandbox| members!({
            "wanted": sandbox.wanted,
            "landlock": sandbox.landlock,
            "seccomp": sandbox.seccomp,
        }))),
    })
}

/// `cursor`.
pub fn cursor(cursor: &Cursor) -> Json {
    members!({"name": cursor.name, "id": cursor.id, "at": iso(cursor.at_ms), "waiting": cursor.waiting})
}

#[cfg(test)]
mod tests {
    use super::*;
    use chat_local::json::object;
    use chat_proto::control::message::State;
    use chat_proto::id::MessageId;

    /// Does `object` begin with the members of the manual's `sample`, in its order and with its values?
    fn begins_with(object: &str, sample: &str) {
        let open = sample.strip_suffix('}').expect("a sample is an object");
        assert!(object.starts_with(open), "{object}\nshould begin with\n{open}");
    }

    #[test]
    fn a_sent_message_is_the_sample_of_the_manual() {
        let reply = Sent {
            id: MessageId("01K9ZT4M7K2".into()),
            key: "k".into(),
            to: Some("bob".into()),
            state: State::Accepted,
            at_ms: 1_795_356_131_120,
            recipient_online: false,
            duplicate: false,
            audience: 0,
            missed: false,
            pending: None,
            retry_after_ms: None,
            cause: None,
        };
        begins_with(
            &object("message", sent(&reply)),
            r#"{"v":1,"type":"message","id":"01K9ZT4M7K2","to":"bob","kind":"direct","state":"accepted","at":"2026-11-22T14:02:11.120Z","recipient_online":false,"duplicate":false}"#,
        );
        begins_with(
            &object("broadcast", broadcast(&Sent { audience: 11, missed: true, to: None, ..reply })),
            r#"{"v":1,"type":"broadcast","id":"01K9ZT4M7K2","sent":11,"complete":false}"#,
        );
    }

    #[test]
    fn presence_is_the_sample_of_the_manual() {
        let (name, members) = event(&Event::Presence {
            user: "yoda".into(),
            state: "offline".into(),
            reason: "logout".into(),
            at_ms: 1_795_356_570_777,
        });
        begins_with(
            &object(name, members),
            r#"{"v":1,"type":"presence","user":"yoda","state":"offline","reason":"logout","at":"2026-11-22T14:09:30.777Z"}"#,
        );
    }
}
