//! What a local process sends chatd on the control socket, and chatd sends chatctl.

use chat_local::rpc::{ErrorObject, Incoming, Notification, Response};
use chat_proto::control::{
    Call, ErrorData, account, config, daemon, device, doctor, events, file, hooks, message, people, private, trace,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// One line, as chatd reads it and as chatctl reads it.
pub fn control_line(data: &[u8]) {
    let Ok(line) = std::str::from_utf8(data) else {
        return;
    };
    match Incoming::parse(line) {
        Ok(incoming) => request(&incoming),
        Err(refusal) => again(&refusal),
    }
    reply(line);
}

/// The parameters of the method named, or of every method when it is unknown.
fn request(incoming: &Incoming) {
    let known = CALLS.iter().filter(|(method, _)| *method == incoming.method);
    let mut found = false;
    for (_, call) in known {
        call(incoming);
        found = true;
    }
    if !found {
        CALLS.iter().for_each(|(_, call)| call(incoming));
        let _ = incoming.answer(Err(ErrorObject::method_not_found(&incoming.method))).map(|answer| again(&answer));
    }
}

/// A line as chatctl takes it: a response or an event.
fn reply(line: &str) {
    if let Ok(response) = serde_json::from_str::<Response>(line) {
        again(&response);
        match response.into_result() {
            Ok(value) => {
                for (_, result) in REPLIES {
                    result(&value);
                }
            }
            Err(error) => error.data.iter().for_each(stable::<ErrorData>),
        }
    }
    if let Ok(event) = serde_json::from_str::<Notification>(line) {
        again(&event);
        stable::<events::Event>(&event.params);
    }
}

/// What was read is written and read again to the same.
fn again<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T) {
    let text = serde_json::to_string(value).expect("what was read can be written");
    assert_eq!(serde_json::from_str::<T>(&text).as_ref().ok(), Some(value), "{text}");
}

/// As [`again`] for types without equality: what they write stays the same.
fn stable<T: Serialize + DeserializeOwned>(value: &serde_json::Value) {
    let Ok(read) = T::deserialize(value) else {
        return;
    };
    let once = serde_json::to_value(&read).expect("what was read can be written");
    let twice = T::deserialize(&once).map(|back| serde_json::to_value(&back));
    assert!(matches!(twice, Ok(Ok(back)) if back == once), "{once}");
}

fn params<C: Call>(incoming: &Incoming) {
    if incoming.params::<C>().is_ok() {
        stable::<C>(&incoming.params);
    }
}

macro_rules! calls {
    ($($call:ty,)+) => {
        const CALLS: &[(&str, fn(&Incoming))] = &[$((<$call as Call>::METHOD, params::<$call>)),+];
        const REPLIES: &[(&str, fn(&serde_json::Value))] = &[$((<$call as Call>::METHOD, stable::<<$call as Call>::Reply>)),+];
    };
}
calls! {
    daemon::Hello, daemon::DaemonStatus, daemon::DaemonStop, doctor::Doctor,
    account::Register, account::Login, account::Logout, account::Status, account::Passwd,
    device::DeviceList, device::DeviceRevoke,
    config::ProfileList, config::ProfileAdd, config::ProfileRemove, config::ProfileDefault,
    config::TrustList, config::TrustAccept, config::TrustRemove,
    message::SendMessage, message::Broadcast, message::Inbox, message::Read, message::MarkRead, message::Unread, message::Show,
    message::Outbox, message::OutboxCancel, message::OutboxRetry, message::Search, message::Export, trace::TraceMessage,
    people::Whoelse, people::Whoelsesince, people::Block, people::Unblock, people::Blocked, people::Names,
    private::Startprivate, private::Requests, private::Accept, private::Decline, private::Private, private::Stopprivate,
    private::Sessions, private::SessionsVerify,
    file::FileSend, file::FileList, file::FileAccept, file::FileTake, file::FileDecline, file::FileCancel,
    events::Watch, events::Ack, events::CursorList, events::CursorRemove,
    hooks::HooksList, hooks::HooksTest, hooks::HooksLetters, hooks::HooksReplay, hooks::HooksDrop,
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_method_is_fuzzed() {
        let ours: Vec<&str> = super::CALLS.iter().map(|(method, _)| *method).collect();
        for method in chat_proto::control::METHODS {
            assert!(ours.contains(method), "{method} is not fuzzed");
        }
    }
}
