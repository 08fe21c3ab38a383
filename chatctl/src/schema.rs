//! Every object of format 1 that chatctl prints, described: `schema`, the manual page chat-json(7) and the tests read this. What
//! makes the objects is `json.rs`; the tests hold each real object against its description here.

use chat_manual::format::Shape::{Count, Flag, Id, List, Maybe, Members, Number, Text, Time, Whole, Word};
use chat_manual::format::{Member, Object, json_schema, member, sometimes};

use crate::doctor::CHECKS;

/// The schema document's name.
const ID: &str = "urn:chat:format:1:chatctl";

const STATES: &[&str] = &["queued", "accepted", "delivered", "read", "failed", "expired"];
const KINDS: &[&str] = &["direct", "broadcast", "private", "system"];
const LINKS: &[&str] = &["online", "connecting", "waiting", "logged_out"];

const PROBLEM: &[Member] = &[
    member("code", Text, "what is wrong"),
    member("subject", Maybe(&Text), "what it speaks of"),
    member("hint", Maybe(&Text), "the command to run next"),
];

const RUN: &[Member] = &[
    member("exit", Whole, "its exit code; 128 and the signal's number when a signal ended it"),
    member("duration_ms", Count, "milliseconds that it took"),
];

const MESSAGE: &[Member] = &[
    member("id", Id, "equal on all hosts"),
    member("to", Maybe(&Text), "receiving account; null: everyone online"),
    member("kind", Word(KINDS), ""),
    member("state", Word(STATES), "how far it got"),
    member("at", Time, "accepted by the server; while queued: by this host's clock"),
    sometimes("from", Text, "sending account, stamped by the server"),
    sometimes("text", Text, "the text; of a content type that this build does not know, a description"),
    sometimes("reply_to", Maybe(&Id), "the message that it answers"),
    sometimes("own", Flag, "this account sent it, from this or another device"),
    sometimes("content_type", Text, "what the body is"),
    sometimes("run", Members(RUN), "the text tells how a command ended"),
    sometimes("key", Text, "the --id that it was sent with"),
    sometimes("code", Text, "why it failed"),
    sometimes("replaces", Maybe(&Id), "outbox retry: the failed message in whose place this new one was sent"),
    sometimes("found", Flag, "search: it was found; false: it stands near one that was"),
    sometimes("group", Count, "search: equal for messages that stand together"),
    sometimes("recipient_online", Flag, "the recipient was announced online at acceptance"),
    sometimes("duplicate", Flag, "the key had been used for the same content before; nothing was sent twice"),
];

const PERSON: &[Member] = &[
    member("user", Text, "who"),
    member("online", Flag, "announced online now"),
    member("since", Time, "start of the present or last session"),
    member("last_seen", Maybe(&Time), "end of the last session; null: online"),
    member("away", Flag, "online without activity for a while"),
];

const CURSOR: &[Member] = &[
    member("name", Text, "the cursor"),
    sometimes("id", Maybe(&Id), "the message that was acknowledged last, or that it began behind; null: the beginning"),
    sometimes("at", Time, "when it was made or moved last"),
    sometimes("waiting", Count, "messages behind it; 10000: that many or more"),
    sometimes("changed", Flag, "false: it stood there or beyond already, and did not move"),
    sometimes("removed", Flag, "it is gone"),
];

const PROFILE: &[Member] = &[
    member("name", Text, "the profile"),
    sometimes("user", Text, "account; empty before the first login"),
    sometimes("server", Text, "server as typed; empty before the first login"),
    sometimes("default", Flag, "used where --profile is not given"),
    sometimes("state", Word(LINKS), "its link"),
    sometimes("removed", Flag, "it is gone"),
];

const TRUSTED: &[Member] = &[
    member("kind", Word(&["server", "user"]), ""),
    member("name", Text, "HOST:PORT, or the account of a person"),
    member("fingerprint", Text, "sha256: and 64 hex digits over the long-term key"),
    member("since", Time, "when it was first trusted"),
    member("by", Word(&["ca", "pin", "first_seen", "verified"]), "why it is"),
];

const OUTCOME: &[Member] = &[
    member("result", Word(&["exited", "killed", "timed_out", "not_started"]), "how the run ended"),
    member("exit", Maybe(&Whole), "its exit code, when it ended by itself"),
    member("signal", Maybe(&Whole), "the signal that ended it"),
    member("detail", Maybe(&Text), "why it could not be started"),
];

const HOOK: &[Member] = &[
    member("name", Text, "its name"),
    member("on", Word(EVENTS), "what it waits for"),
    member("from", List(&Text), "only of these people; empty: of everybody"),
    member("run", List(&Text), "the program and its arguments"),
    member("timeout_ms", Count, "milliseconds that a run may take"),
    member("retries", Count, "a failed run is repeated so often"),
    member("runs", Count, "runs that ended"),
    member("failures", Count, "runs that failed"),
    member("last_at", Maybe(&Time), "when the last run ended"),
    member("last_error", Maybe(&Members(OUTCOME)), "how the last run failed; null: it did not"),
    member("running", Flag, "it runs now"),
    member("waiting", Count, "events that wait for their first run"),
    member("retrying", Count, "events that failed and are tried again"),
    member("dead", Count, "events for which it failed for good"),
    member("missed", Count, "events left out because too many waited; messages never are"),
];

const EVENTS: &[&str] = &["message", "presence", "private_request", "private_ended", "file_offer", "login", "link"];

const LETTER: &[Member] = &[
    member("id", Id, "its number"),
    member("hook", Text, "the hook"),
    member("message", Maybe(&Id), "the message"),
    member("from", Maybe(&Text), "who caused it"),
    member("at", Time, "when the last run ended"),
    member("tries", Count, "runs so far"),
    member("outcome", Members(OUTCOME), "how the last run ended"),
];

const RAN: &[Member] = &[
    member("name", Text, "the hook"),
    member("outcome", Members(OUTCOME), "how it ended"),
    member("duration_ms", Count, "milliseconds that it took"),
    member("output", Text, "the beginning of what it printed"),
    member("cut", Flag, "it printed more"),
];

const DEVICE: &[Member] = &[
    member("id", Text, "32 hex digits"),
    member("name", Text, "its name; may be empty"),
    member("since", Maybe(&Time), "when it was enrolled; null: not known"),
    member("last_seen", Maybe(&Time), "when its last session opened or ended; null: it never had one"),
    member("online", Flag, "it has a session now"),
    member("own", Flag, "it is this one"),
    sometimes("revoked", Flag, "its key is gone"),
];

const SETTING: &[Member] = &[
    member("key", Text, "the key with its tables"),
    member("value", Text, "its value, a text without quotes"),
    member("default", Flag, "the configuration does not say it"),
    member("about", Text, "what it means"),
];

const STEPS: &[&str] =
    &["queued", "sent", "accepted", "failed", "delivered", "read", "expired", "arrived", "read_here", "read_told"];

const HOP: &[Member] = &[
    member("step", Word(STEPS), "what happened"),
    member("at", Maybe(&Time), "when, by this host's clock; of somebody else's message accepted by the server's"),
    member("times", Maybe(&Count), "how often it was sent"),
    member("last_at", Maybe(&Time), "when it was sent last, where more than once"),
    member("code", Maybe(&Text), "why it failed or expired"),
    member("place", Maybe(&Count), "where it stands in the server's log"),
];

const REQUEST: &[Member] = &[
    member("id", Id, "the request; the session's too"),
    member("peer", Text, "the other side"),
    member("dir", Word(WAYS), "in: the peer asks"),
    member(
        "state",
        Word(&["asked", "accepted", "declined", "expired", "cancelled", "withdrawn"]),
        "cancelled: one left",
    ),
    member("note", Maybe(&Text), "the asker's word about why"),
    member("at", Time, "when it was asked"),
    member("expires_at", Time, "until when it is open"),
    sometimes("session", Members(SESSION), "what became of it, once connected"),
];

const FINDING: &[Member] = &[
    member("check", Word(CHECKS), "what was looked at"),
    member("result", Word(&["ok", "WARN", "FAIL"]), "FAIL: it does not work"),
    member("detail", Text, "what was found"),
    member("hint", Maybe(&Text), "the command that mends it"),
];

const WAYS: &[&str] = &["in", "out"];
const KNOWN: &[&str] = &["first_seen", "known", "verified"];

const SESSION: &[Member] = &[
    member("id", Id, "equal on both sides"),
    member("peer", Text, "with whom"),
    member("state", Word(&["connecting", "open", "away"]), "away: the connection is lost and being made again"),
    member("path", Maybe(&Word(&["direct", "relay"])), "null: not connected"),
    member("why", Maybe(&Word(&["found", "relay_only", "peer_relay_only", "no_direct_path"])), "why it is this path"),
    member("address", Maybe(&Text), "the peer's address on a direct path"),
    member("rtt_ms", Maybe(&Number), "last round trip in milliseconds"),
    member("since", Time, "when the two agreed"),
    member("changed", Time, "since when the state is what it is"),
    member("until", Maybe(&Time), "when it ends by itself"),
    member("key", Maybe(&Text), "the peer's key: sha256: and 64 hex digits; null: not proven yet"),
    member("known", Maybe(&Word(KNOWN)), "how well the key is known"),
    member("verified", Flag, "the two users have compared the key"),
    member("relay_only", Flag, "this side's address is hidden from the peer"),
    member("direct_only", Flag, "only a direct path is allowed"),
    member("queued", Count, "texts that the peer has not taken yet"),
];

const ENDED: &[Member] = &[
    member("peer", Text, "with whom it was"),
    member(
        "reason",
        Word(&["you", "peer", "logout", "idle", "link", "time", "identity", "no_direct_path", "other"]),
        "why",
    ),
    member("by_peer", Flag, "the peer's side caused it"),
    member("failed", List(&Id), "texts that were never sent"),
    member("unsettled", Count, "texts without a verdict: settled when the two meet next"),
    member("at", Time, "when"),
];

const FILE: &[Member] = &[
    member("id", Id, "equal on both sides"),
    member("peer", Text, "the other side"),
    member("dir", Word(WAYS), "in: the peer sends"),
    member("name", Text, "its name, without any directory"),
    member("size", Count, "bytes"),
    member("done", Count, "bytes that are there"),
    member("state", Word(&["offered", "waiting", "running", "done", "declined", "cancelled", "failed"]), ""),
    member("sha256", Maybe(&Text), "of its content, in hex; null: not known yet"),
    member("path", Maybe(&Text), "where it lies on this host"),
    member("code", Maybe(&Text), "why it failed"),
    member("by_peer", Flag, "declined, cancelled, failed: the peer's side caused it"),
    member("rate", Maybe(&Count), "bytes per second of late"),
    member("at", Time, "when it was offered"),
];

const ITEMS: &str = "the items";

/// All of them, in the order of names.
pub const OBJECTS: &[Object] = &[
    Object {
        name: "account",
        about: "answer of register, login and logout",
        members: &[
            member("user", Text, "account"),
            member("state", Word(&["online", "logged_out"]), ""),
            sometimes("server", Text, "server as typed"),
            sometimes("device", Text, "this device's name"),
            sometimes("unread", Count, "unread messages"),
            sometimes("unread_people", Count, "from how many people"),
            sometimes("ended", List(&Text), "people whose private session ended by this"),
            sometimes("unsent", Count, "messages that stay queued for the next login"),
            sometimes("confirmed", Flag, "the server knows; false: it was not reachable"),
        ],
    },
    Object {
        name: "block",
        about: "answer of block and unblock",
        members: &[
            member("user", Text, "whom"),
            member("blocked", Flag, "blocked now"),
            member("changed", Flag, "false: it was so already"),
            member("private_session", Flag, "a private session with them stays open"),
        ],
    },
    Object {
        name: "blocked",
        about: "whom the account blocks",
        members: &[member("items", List(&Members(&[member("user", Text, "whom")])), ITEMS)],
    },
    Object {
        name: "broadcast",
        about: "answer of broadcast: how many, never who",
        members: &[
            member("id", Id, "equal on all hosts"),
            member("sent", Count, "how many people"),
            member("complete", Flag, "nobody online was left out (classic profile)"),
            member("state", Word(STATES), "how far it got"),
            member("at", Time, "when it was queued"),
            member("duplicate", Flag, "the key had been used for the same content before; nothing was sent twice"),
            member("key", Text, "the --id that it was sent with"),
        ],
    },
    Object {
        name: "config",
        about: "answer of the config commands",
        members: &[
            member("config", Text, "path of the configuration"),
            sometimes("ok", Flag, "it can be used"),
            sometimes("key", Text, "config get and set: the key"),
            sometimes("value", Text, "its value"),
            sometimes("default", Flag, "the configuration does not say it"),
            sometimes("items", List(&Members(SETTING)), "config list: all keys"),
            sometimes("data", Text, "path of histories"),
            sometimes("state", Text, "path of keys and the log"),
            sometimes("log", Text, "path of chatd's log"),
            sometimes("socket", Text, "path of the control socket"),
        ],
    },
    Object {
        name: "conversations",
        about: "answer of inbox",
        members: &[member(
            "items",
            List(&Members(&[
                member("user", Text, "with whom"),
                member("unread", Count, "unread messages from them"),
                member("last", Members(MESSAGE), "the newest message"),
            ])),
            "newest first",
        )],
    },
    Object { name: "cursor", about: "answer of ack and of cursor remove", members: CURSOR },
    Object {
        name: "cursors",
        about: "answer of cursor list",
        members: &[member("items", List(&Members(CURSOR)), "by name")],
    },
    Object {
        name: "daemon",
        about: "answer of the daemon commands",
        members: &[
            member("state", Word(&["running", "stopped"]), ""),
            sometimes("changed", Flag, "false: it was so already"),
            sometimes("version", Text, "chatd's build"),
            sometimes("pid", Count, "chatd's process id"),
            sometimes(
                "proto",
                Members(&[member("min", Count, ""), member("max", Count, "")]),
                "versions of the control protocol that it speaks",
            ),
            sometimes("since", Time, "when it started"),
            sometimes("socket", Text, "path of its control socket"),
            sometimes("log", Maybe(&Text), "path of its log; null: stderr or the journal"),
            sometimes("profiles", List(&Text), "profiles that it serves"),
            sometimes("connections", Count, "open control connections"),
            sometimes(
                "sandbox",
                Maybe(&Members(&[
                    member("wanted", Flag, "its configuration asks for it"),
                    member(
                        "landlock",
                        Maybe(&Count),
                        "the ABI by which files and ports are confined; null: they are not",
                    ),
                    member("seccomp", Flag, "system calls are confined"),
                ])),
                "how it is confined; null: an older chatd",
            ),
            sometimes("unit", Flag, "install, uninstall: chatd is a unit of the user's service manager"),
            sometimes("lingers", Flag, "install: units stay when the user logs out"),
        ],
    },
    Object { name: "device", about: "answer of device revoke", members: DEVICE },
    Object {
        name: "devices",
        about: "answer of device list",
        members: &[member("items", List(&Members(DEVICE)), "oldest first")],
    },
    Object {
        name: "doctor",
        about: "answer of doctor",
        members: &[
            member("items", List(&Members(FINDING)), "in the order in which a call passes them"),
            sometimes("bundle", Text, "the report that was written"),
        ],
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
            sometimes("id", Id, "the message that it speaks of"),
            sometimes("key", Text, "the key that makes a retry safe"),
            sometimes("user", Text, "identity_changed: who showed another key"),
            sometimes("fingerprint", Text, "trust_unknown, trust_changed, identity_changed: the key that was shown"),
            sometimes("server", Text, "trust_unknown, trust_changed: HOST:PORT"),
        ],
    },
    Object { name: "file", about: "answer of file send, accept, decline and cancel; an event of watch", members: FILE },
    Object { name: "file_offer", about: "watch: a file is offered", members: FILE },
    Object {
        name: "files",
        about: "answer of file list, and of file send with several files",
        members: &[member("items", List(&Members(FILE)), "newest last")],
    },
    Object {
        name: "gap",
        about: "watch: messages are missing here",
        members: &[
            member("id", Maybe(&Id), "the gap's own entry, to be acknowledged like a message"),
            member("from", Maybe(&Id), "the message before; null: there is none"),
            member("to", Maybe(&Id), "as id"),
            member("count", Count, "how many"),
            member("at", Time, "when it was noticed"),
        ],
    },
    Object { name: "heartbeat", about: "watch --heartbeat: a sign of life", members: &[member("at", Time, "now")] },
    Object {
        name: "hook_letters",
        about: "answer of hooks letters, replay and drop",
        members: &[
            sometimes("items", List(&Members(LETTER)), "dead letters, oldest first"),
            sometimes("replayed", Count, "dead letters that are tried again"),
            sometimes("dropped", Count, "dead letters that were forgotten"),
        ],
    },
    Object {
        name: "hooks",
        about: "answer of hooks list",
        members: &[
            member("items", List(&Members(HOOK)), "in the order of the configuration"),
            member("config_changed", Flag, "the configuration was changed since chatd read it"),
        ],
    },
    Object {
        name: "hooks_test",
        about: "answer of hooks test",
        members: &[member("items", List(&Members(RAN)), "one for each hook that was run")],
    },
    Object {
        name: "link",
        about: "watch: the link to the server changed",
        members: &[
            member("state", Word(LINKS), ""),
            member("cause", Maybe(&Members(PROBLEM)), "why"),
            member("at", Time, "when"),
        ],
    },
    Object { name: "message", about: "answer of message and show; an event of watch", members: MESSAGE },
    Object {
        name: "messages",
        about: "answer of read, search and outbox",
        members: &[
            member("items", List(&Members(MESSAGE)), "oldest first"),
            member("next", Maybe(&Id), "null: that was all"),
        ],
    },
    Object {
        name: "outbox",
        about: "answer of outbox retry",
        members: &[
            member("went", Count, "messages that had waited and have a verdict now"),
            member("waiting", Count, "messages that wait still"),
        ],
    },
    Object {
        name: "passwd",
        about: "answer of passwd",
        members: &[
            member("user", Text, "account"),
            member("revoked", Count, "other devices that were logged out and need the new password"),
        ],
    },
    Object {
        name: "people",
        about: "answer of whoelse and whoelsesince",
        members: &[member("items", List(&Members(PERSON)), "in the order of names")],
    },
    Object {
        name: "presence",
        about: "watch: somebody came or went",
        members: &[
            member("user", Text, "who"),
            member("state", Word(&["online", "offline"]), ""),
            member("reason", Word(&["login", "logout", "idle", "link", "kicked"]), ""),
            member("at", Time, "when"),
        ],
    },
    Object {
        name: "presence_many",
        about: "watch: too many came or went to name them",
        members: &[member("count", Count, "how many"), member("at", Time, "when")],
    },
    Object {
        name: "private_ended",
        about: "answer of stopprivate USER; watch: a private session is over",
        members: ENDED,
    },
    Object {
        name: "private_request",
        about: "answer of startprivate and decline; watch: what became of a private request",
        members: REQUEST,
    },
    Object {
        name: "private_session",
        about: "answer of accept; watch: a private session is open, lost its peer or goes another way",
        members: SESSION,
    },
    Object { name: "profile", about: "answer of profile add, remove and default", members: PROFILE },
    Object {
        name: "profiles",
        about: "answer of profile list",
        members: &[member("items", List(&Members(PROFILE)), ITEMS)],
    },
    Object {
        name: "receipt",
        about: "watch: an own message got further, or failed",
        members: &[
            member("id", Id, "the message"),
            member("key", Maybe(&Text), "the --id that it was sent with"),
            member("to", Maybe(&Text), "recipient; null: everyone online"),
            member("state", Word(STATES), ""),
            member("code", Maybe(&Text), "why it failed"),
            member("at", Time, "when this was known"),
        ],
    },
    Object {
        name: "requests",
        about: "answer of requests",
        members: &[member("items", List(&Members(REQUEST)), "open ones, oldest first")],
    },
    Object {
        name: "sessions",
        about: "answer of sessions",
        members: &[member("items", List(&Members(SESSION)), "oldest first")],
    },
    Object {
        name: "status",
        about: "answer of status",
        members: &[
            member("profile", Text, "the profile"),
            member(
                "account",
                Maybe(&Members(&[
                    member("user", Text, "account"),
                    member("server", Text, "server as typed"),
                    member("device", Text, "this device's name"),
                ])),
                "null: there is none yet",
            ),
            member(
                "link",
                Members(&[
                    member("state", Word(LINKS), ""),
                    member("since", Time, "since when"),
                    member("rtt_ms", Maybe(&Count), "last round trip in milliseconds"),
                    member("cause", Maybe(&Members(PROBLEM)), "why the last try failed"),
                    member("retry_after_ms", Maybe(&Count), "milliseconds until the next try"),
                ]),
                "the link to the server",
            ),
            member(
                "ended",
                Maybe(&Members(&[member("code", Text, "why"), member("at", Time, "when")])),
                "how the last login ended",
            ),
            member("unread", Count, "unread messages"),
            member("queued", Count, "messages without a verdict"),
            member("failed", Count, "messages that failed and were not looked at"),
            member("requests", Count, "open private requests"),
            member("sessions", Count, "private sessions"),
            member(
                "daemon",
                Members(&[
                    member("version", Text, "chatd's build"),
                    member("pid", Count, "chatd's process id"),
                    member("proto", Count, "version of the control protocol in use"),
                ]),
                "chatd",
            ),
            member("server", Members(&[member("version", Maybe(&Text), "the server's build")]), "the server"),
            member("problems", List(&Members(PROBLEM)), "what needs the user"),
        ],
    },
    Object {
        name: "stopped",
        about: "answer of stopprivate --all, and of stopprivate USER that ended no session",
        members: &[
            member("items", List(&Members(ENDED)), "sessions that are over"),
            member("withdrawn", List(&Text), "people whose answer is not waited for any more"),
        ],
    },
    Object {
        name: "trace",
        about: "answer of trace: what happened to one message, as far as this host knows",
        members: &[
            member("id", Id, "the message"),
            member("from", Text, "sending account"),
            member("to", Maybe(&Text), "receiving account; null: everyone online"),
            member("kind", Word(KINDS), ""),
            member("state", Word(STATES), "how far it got"),
            member("own", Flag, "this account sent it"),
            member("key", Maybe(&Text), "the --id that it was sent with"),
            member("code", Maybe(&Text), "why it failed"),
            member("hops", List(&Members(HOP)), "what happened, oldest first"),
            member("waits_for", Maybe(&Word(&["login", "link", "verdict", "recipient", "reader"])), "null: nothing"),
            member(
                "server",
                Maybe(&Members(&[
                    member("says", Word(&["nothing", "undecided", "decided", "verdict"]), ""),
                    member("code", Maybe(&Text), "its verdict, or why it says nothing"),
                    member("place", Maybe(&Count), "where it stands in the server's log"),
                ])),
                "what the server says of an own message now",
            ),
        ],
    },
    Object {
        name: "trust",
        about: "answer of the trust commands",
        members: &[
            sometimes("items", List(&Members(TRUSTED)), "trusted keys"),
            sometimes("name", Text, "the host that was removed"),
            sometimes("removed", Flag, "it is gone"),
        ],
    },
    Object {
        name: "unread",
        about: "answer of unread",
        members: &[
            member("total", Count, "in all"),
            member(
                "people",
                List(&Members(&[member("user", Text, "who"), member("count", Count, "unread messages from them")])),
                "most first",
            ),
            member("requests", Count, "open private requests"),
        ],
    },
    Object {
        name: "verification",
        about: "answer of sessions verify",
        members: &[
            member("peer", Text, "with whom"),
            member("code", Text, "groups of digits, equal on both sides"),
            member("key", Text, "the peer's key: sha256: and 64 hex digits"),
            member("own_key", Text, "the own key, as the peer sees it"),
            member("known", Word(KNOWN), "how well the peer's key is known"),
            member("verified", Flag, "the two users have compared it"),
        ],
    },
];

/// The document: of all objects, or of one.
pub fn document(name: Option<&str>) -> Option<String> {
    let schema = match name {
        None => json_schema(ID, OBJECTS),
        Some(name) => OBJECTS.iter().find(|object| object.name == name)?.schema(),
    };
    serde_json::to_string_pretty(&schema).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_told_apart_and_found() {
        let names: Vec<_> = OBJECTS.iter().map(|object| object.name).collect();
        assert!(names.is_sorted_by(|a, b| a < b), "in the order of names, each once: {names:?}");
        assert!(document(Some("message")).is_some() && document(Some("nonsense")).is_none());
    }
}
