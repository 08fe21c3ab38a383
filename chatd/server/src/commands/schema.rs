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

const SESSION: &[Member] = &[
    member("id", Text, "its number, for sessions kick"),
    member("user", Text, "whose"),
    member("address", Text, "the client's address and port"),
    member("since", Time, "when it was opened"),
    member("idle_ms", Count, "milliseconds since its user did something"),
];

/// All of them, in the order of names.
pub const OBJECTS: &[Object] = &[
    Object {
        name: "announcement",
        about: "answer of announce",
        members: &[member("sent", Count, "how many users were online and get it")],
    },
    Object {
        name: "audit",
        about: "a line of export audit",
        members: &[
            member("at", Time, "when"),
            member("from", Text, "a client's address and port, or the user of this host who asked"),
            member("text", Text, "what happened"),
        ],
    },
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
        name: "kicked",
        about: "answer of sessions kick: the sessions that were ended",
        members: &[member("items", List(&Members(SESSION)), "oldest first")],
    },
    Object {
        name: "sessions",
        about: "answer of sessions list",
        members: &[member("items", List(&Members(SESSION)), "oldest first")],
    },
    Object { name: "user", about: "a line of export users", members: USER },
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
