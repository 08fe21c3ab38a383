//! Every object of format 1 that chat-server prints, described: `schema`, the manual page chat-server-json(7) and the tests read
//! this; the tests hold each real object against its description here.

use chat_manual::format::Shape::{Count, Flag, List, Maybe, Members, Text, Time};
use chat_manual::format::{Member, Object, member};

const USER: &[Member] = &[
    member("name", Text, "the account"),
    member("since", Time, "when it was made"),
    member("devices", Count, "enrolled devices"),
    member("queued", Count, "messages that wait for it"),
    member("online", Flag, "announced online now"),
    member("last_seen", Maybe(&Time), "end of its last session; null: online, or never had one"),
];

/// All of them, in the order of names.
pub const OBJECTS: &[Object] = &[
    Object {
        name: "certificate",
        about: "answer of cert self-signed",
        members: &[member("file", Text, "path of the certificate")],
    },
    Object {
        name: "error",
        about: "why a command failed; on stderr",
        members: &[
            member("code", Text, "the reason, a fixed word"),
            member("message", Text, "the same for people"),
            member("hint", Maybe(&Text), "the command to run next"),
            member("exit", Count, "the exit code"),
            member("retry_after_ms", Maybe(&Count), "milliseconds until trying again may help"),
        ],
    },
    Object {
        name: "fingerprint",
        about: "answer of cert fingerprint",
        members: &[member("fingerprint", Text, "sha256: and 64 hex digits over the server's long-term key")],
    },
    Object {
        name: "init",
        about: "answer of init",
        members: &[
            member("config", Text, "path of the configuration"),
            member("fingerprint", Text, "sha256: and 64 hex digits over the server's long-term key"),
        ],
    },
    Object {
        name: "users",
        about: "answer of user list",
        members: &[member("items", List(&Members(USER)), "in the order of names")],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_told_apart() {
        let names: Vec<_> = OBJECTS.iter().map(|object| object.name).collect();
        assert!(names.is_sorted_by(|a, b| a < b), "in the order of names, each once: {names:?}");
    }
}
