//! Every object of format 1 that chat-server prints, described: `schema`, the manual page chat-server-json(7) and the tests read
//! this; the tests hold each real object against its description here.

use chat_manual::format::Shape::{Count, Flag, List, Maybe, Members, Text, Time, Whole, Word};
use chat_manual::format::{Member, Object, member, sometimes};

const USER: &[Member] = &[
    member("name", Text, "the account"),
    member("since", Time, "when it was made"),
    member("devices", Count, "enrolled devices"),
    member("queued", Count, "messages that wait for it"),
    member("online", Flag, "announced online now"),
    member("last_seen", Maybe(&Time), "end of its last session; null: online, or never had one"),
    member("locked", Flag, "locked by the operator"),
    sometimes("hash", Text, "its password's hash, where export users --hashes asked for it"),
];

const DEVICE: &[Member] = &[
    member("id", Text, "its id"),
    member("name", Text, "its owner's name for it"),
    member("since", Maybe(&Time), "when it was enrolled; null where that is not known"),
    member("last_seen", Maybe(&Time), "when its last session opened or ended; null when it never had one"),
];

const SESSION: &[Member] = &[
    member("id", Text, "its number, for sessions kick"),
    member("user", Text, "whose"),
    member("address", Text, "the client's address and port"),
    member("since", Time, "when it was opened"),
    member("idle_ms", Count, "milliseconds since its user did something"),
];

const LEVELS: &[&str] = &["ok", "warn", "error"];

const BACKUP: &[Member] = &[
    member("file", Text, "its path"),
    member("bytes", Count, "its size"),
    member("created", Time, "when it was made"),
    member("version", Text, "the chat-server that made it"),
    member("fingerprint", Text, "of the server's long-term key"),
    member("schema", Count, "of its database"),
    member("users", Count, "accounts in it"),
    member("queued", Count, "messages that wait in it"),
];

const INVITE: &[Member] = &[
    member("id", Text, "its number"),
    sometimes("user", Maybe(&Text), "the one account that may be made with it; null: any"),
    sometimes("uses", Count, "how many accounts may be made with it"),
    sometimes("left_ms", Count, "it holds for so many milliseconds of running"),
    sometimes("since", Time, "when it was made"),
    sometimes("used", Count, "how many accounts were made with it"),
    sometimes("code", Text, "what is typed at register; shown this once"),
    sometimes("revoked", Flag, "it is withdrawn"),
];
const SKIPPED: &[Member] =
    &[member("line", Count, "its number in the file"), member("reason", Text, "why, for people")];

/// All of them, in the order of names.
pub const OBJECTS: &[Object] = &[
    Object {
        name: "account",
        about: "answer of user show",
        members: &[
            member("user", Members(USER), "as in the list"),
            member("password_locks", Count, "from how many sources wrong passwords keep it locked"),
            member("password_locks_left_ms", Count, "for how many milliseconds at most"),
            member("items", List(&Members(DEVICE)), "its devices, oldest first"),
        ],
    },
    Object {
        name: "added",
        about: "answer of user add --password-stdin",
        members: &[member("user", Text, "the account as it is called now")],
    },
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
        name: "backup",
        about: "answer of backup create and backup verify",
        members: &[
            member("file", Text, "its path"),
            member("bytes", Count, "its size"),
            member("created", Time, "when it was made"),
            member("version", Text, "the chat-server that made it"),
            member("fingerprint", Text, "of the server's long-term key"),
            member("schema", Count, "of its database"),
            member("users", Count, "accounts in it"),
            member("queued", Count, "messages that wait in it"),
            member("db", Maybe(&Text), "backup verify: ok; else null"),
            member("removed", Maybe(&Count), "backup create: older backups that --keep removed; else null"),
        ],
    },
    Object {
        name: "backups",
        about: "answer of backup list",
        members: &[member(
            "items",
            List(&Members(&[
                member("file", Text, "its path"),
                member("backup", Maybe(&Members(BACKUP)), "what is in it; null: it cannot be read"),
                member("problem", Maybe(&Text), "why it cannot be read; else null"),
            ])),
            "newest first",
        )],
    },
    Object {
        name: "certificate",
        about: "answer of cert self-signed",
        members: &[member("file", Text, "path of the certificate")],
    },
    Object {
        name: "certificates",
        about: "answer of cert show",
        members: &[
            member("file", Text, "path of the chain"),
            member(
                "items",
                List(&Members(&[
                    member("subject", Text, "whose it is"),
                    member("issuer", Text, "who made it"),
                    member("names", List(&Text), "names and addresses that it is for"),
                    member("not_before", Time, "it begins"),
                    member("not_after", Time, "it ends"),
                    member("days_left", Whole, "days until then"),
                    member("self_signed", Flag, "it vouches for itself"),
                    member("sha256", Text, "of all of it, hexadecimal"),
                ])),
                "the server's own first",
            ),
        ],
    },
    Object {
        name: "check",
        about: "answer of check and cert watch-test",
        members: &[
            member("level", Word(LEVELS), "the worst of all"),
            member(
                "items",
                List(&Members(&[
                    member("level", Word(LEVELS), "how bad it is"),
                    member("section", Word(&["config", "tls", "net", "storage", "time"]), "what was looked at"),
                    member("key", Maybe(&Text), "the key of the configuration that it is about"),
                    member("file", Maybe(&Text), "where that key is written"),
                    member("line", Maybe(&Count), "the line there"),
                    member("text", Text, "what there is to say; empty: nothing"),
                    member("next", Maybe(&Text), "what to type"),
                ])),
                "in the order in which it was looked at",
            ),
        ],
    },
    Object {
        name: "config",
        about: "answer of config default, config show and config diff",
        members: &[member(
            "items",
            List(&Members(&[
                member("key", Text, "with its tables, as in limits.connections"),
                member("value", Text, "as TOML"),
                member("default", Maybe(&Text), "as TOML; null: depends on the host"),
                member("file", Maybe(&Text), "where it is written; null: nowhere"),
                member("line", Maybe(&Count), "the line there"),
                member("needs_restart", Flag, "a running server keeps the value that it started with"),
            ])),
            "in the order of keys",
        )],
    },
    Object {
        name: "database",
        about: "answer of db info",
        members: &[
            member("schema", Count, "the version of its form"),
            member("current", Flag, "that is the newest one that this chat-server knows"),
            member("bytes", Count, "its size on the disk"),
            member("accounts", Count, "accounts"),
            member("devices", Count, "devices of them"),
            member("queued", Count, "messages that wait for accounts"),
            member("log", Count, "rows of the log: kept messages and verdicts"),
            member("starts", Count, "starts of the server so far"),
        ],
    },
    Object {
        name: "database_check",
        about: "answer of db check",
        members: &[
            member("ok", Flag, "nothing is wrong with it"),
            member("faults", List(&Text), "what is wrong, as SQLite says it"),
        ],
    },
    Object {
        name: "database_upgrade",
        about: "answer of db upgrade",
        members: &[
            member("from", Count, "the schema before"),
            member("to", Count, "the schema now"),
            member("backup", Maybe(&Text), "where the database as it was is; null: there was nothing to do"),
        ],
    },
    Object {
        name: "database_vacuum",
        about: "answer of db vacuum",
        members: &[member("before", Count, "bytes before"), member("after", Count, "bytes now")],
    },
    Object {
        name: "deleted",
        about: "answer of user del",
        members: &[
            member("user", Text, "the account"),
            member("devices", Count, "how many devices it had"),
            member("expired", Count, "how many messages for it expired; their senders are told"),
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
        ],
    },
    Object {
        name: "fingerprint",
        about: "answer of cert fingerprint",
        members: &[member("fingerprint", Text, "sha256: and 64 hex digits over the server's long-term key")],
    },
    Object {
        name: "import",
        about: "answer of import credentials",
        members: &[
            member("dry_run", Flag, "nothing was changed: what would become of the lines"),
            member("added", Count, "accounts that were made"),
            member("updated", Count, "accounts whose password was changed"),
            member("unchanged", Count, "accounts that had the password already"),
            member("skipped", List(&Members(SKIPPED)), "lines that were left out, in their order"),
        ],
    },
    Object {
        name: "init",
        about: "answer of init",
        members: &[
            member("config", Text, "path of the configuration"),
            member("fingerprint", Text, "sha256: and 64 hex digits over the server's long-term key"),
        ],
    },
    Object { name: "invite", about: "answer of invite create and invite revoke", members: INVITE },
    Object {
        name: "invites",
        about: "answer of invite list",
        members: &[member("items", List(&Members(INVITE)), "oldest first")],
    },
    Object {
        name: "kicked",
        about: "answer of sessions kick: the sessions that were ended",
        members: &[member("items", List(&Members(SESSION)), "oldest first")],
    },
    Object {
        name: "lock",
        about: "answer of user lock",
        members: &[member("user", Text, "the account"), member("changed", Flag, "it was not locked before")],
    },
    Object {
        name: "log_level",
        about: "answer of log level",
        members: &[
            member("level", Word(&["error", "warn", "info", "debug", "trace"]), "how much is logged now"),
            member("for_s", Maybe(&Count), "seconds until it is as configured again; null: until it is changed"),
        ],
    },
    Object {
        name: "password",
        about: "answer of user passwd",
        members: &[
            member("user", Text, "the account"),
            member("revoked", Count, "how many devices were logged out for good"),
        ],
    },
    Object {
        name: "reload",
        about: "answer of reload",
        members: &[
            member("changed", List(&Text), "keys with another value than before"),
            member("restart", List(&Text), "keys whose new value counts from the next start"),
            member(
                "unheeded",
                List(&Text),
                "keys whose value does not count, because the service manager listens elsewhere",
            ),
        ],
    },
    Object {
        name: "request",
        about: "answer of cert csr",
        members: &[
            member("names", List(&Text), "names and addresses that it asks for"),
            member("pem", Text, "the request in PEM"),
        ],
    },
    Object {
        name: "restored",
        about: "answer of restore",
        members: &[
            member("file", Text, "the backup"),
            member("config", Text, "path of the configuration that counts now"),
            member("data", Text, "where the data is"),
            member("before", Maybe(&Text), "where what was there before is; null: nothing was"),
            member("users", Count, "accounts in it"),
            member("queued", Count, "messages that wait in it"),
        ],
    },
    Object {
        name: "sessions",
        about: "answer of sessions list",
        members: &[member("items", List(&Members(SESSION)), "oldest first")],
    },
    Object {
        name: "status",
        about: "answer of status, and of /status",
        members: &[
            member("version", Text, "of the server"),
            member("pid", Count, "its process"),
            member("up_ms", Count, "milliseconds since it started"),
            member("online", Count, "accounts announced online"),
            member("sessions", Count, "open sessions"),
            member("strangers", Count, "connections that are not logged in"),
            member("accounts", Count, "accounts"),
            member("queued", Count, "messages that wait for accounts"),
            member("accepted", Count, "messages accepted since it started"),
            member("delivered", Count, "messages given to devices since it started"),
            member("certificate_days", Whole, "days until the certificate ends"),
            member("certificate_trouble", Maybe(&Text), "why changed certificate files are not served; null: they are"),
            member("backup_age_s", Maybe(&Whole), "seconds since the last backup; null: there is none"),
            member("backup_due", Flag, "that is longer ago than backup.warn_age"),
            member("free", Count, "free bytes on the store's disk"),
            member("full", Flag, "messages are refused for want of room"),
            member(
                "relay",
                Maybe(&Members(&[
                    member("connections", Count, "connections to it"),
                    member("bytes", Count, "bytes that it was given to pass on since the server started"),
                    member("refused", Count, "connections that it did not admit since then"),
                ])),
                "the relay for private sessions; null: there is none",
            ),
            member("log", Word(&["error", "warn", "info", "debug", "trace"]), "how much is logged"),
            member("restart", List(&Text), "keys whose new value counts from the next start"),
            member(
                "unheeded",
                List(&Text),
                "keys whose value does not count, because the service manager listens elsewhere",
            ),
            member(
                "sandbox",
                Members(&[
                    member("wanted", Flag, "the configuration asks for it"),
                    member(
                        "landlock",
                        Maybe(&Count),
                        "the ABI by which files and ports are confined; null: they are not",
                    ),
                    member("seccomp", Flag, "system calls are confined"),
                ]),
                "how the running server is confined",
            ),
        ],
    },
    Object { name: "stopped", about: "answer of stop: the server is gone", members: &[] },
    Object {
        name: "top",
        about: "answer of top",
        members: &[
            member("over_ms", Count, "milliseconds that were watched"),
            member("accepted", Count, "messages accepted meanwhile"),
            member("delivered", Count, "messages given to devices meanwhile"),
            member("sessions", Count, "open sessions"),
            member(
                "items",
                List(&Members(&[
                    member("user", Text, "the account"),
                    member("sessions", Count, "open sessions"),
                    member("sent", Count, "messages sent meanwhile"),
                    member("received", Count, "messages given to its devices meanwhile"),
                ])),
                "the busiest first",
            ),
        ],
    },
    Object {
        name: "unlock",
        about: "answer of user unlock",
        members: &[
            member("user", Text, "the account"),
            member("changed", Flag, "the operator had locked it before"),
            member("lifted", Count, "how many locks by wrong passwords were lifted"),
        ],
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
