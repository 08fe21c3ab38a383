//! The topics of `help`: what no single command can explain. Tables come from the definitions they speak of.

use crate::exit::Exit;
use crate::schema::OBJECTS;

/// A topic's name and what it is about.
pub const TOPICS: &[(&str, &str)] = &[
    ("exit-codes", "what the number means that a command ends with"),
    ("environment", "variables that chatctl heeds"),
    ("json", "the objects of --json"),
    ("files", "where configuration, history, keys and sockets are"),
    ("privacy", "who can see what"),
    ("scripting", "how to use chatctl in scripts"),
];

/// Variables that are heeded.
pub const ENVIRONMENT: &[(&str, &str)] = &[
    ("CHAT_PROFILE", "the profile to act for, as --profile"),
    ("CHAT_HOME", "keep configuration, data, state and socket under this directory, as --home"),
    ("CHAT_SOCKET", "the control socket of chatd, as --socket"),
    ("CHAT_ACCESSIBLE", "1: progress in plain lines"),
    ("CI", "set: never ask, as --no-input"),
    ("CREDENTIALS_DIRECTORY", "in a unit of systemd: the password is read from the credential chat.password in it"),
    ("SHELL", "whose completion doctor looks at"),
    ("NO_COLOR", "set: no colour (no-color.org)"),
    ("TERM", "dumb: no colour"),
    ("VISUAL, EDITOR", "the editor of -e"),
    ("LC_ALL, LC_TIME, LANG", "whether hours go to 12 or to 24"),
    ("TZ", "the time zone that times are shown in; set to nothing: UTC"),
    #[cfg(not(windows))]
    ("XDG_CONFIG_HOME, XDG_DATA_HOME, XDG_STATE_HOME", "where files are, see: chatctl help files"),
    #[cfg(not(windows))]
    ("HOME, PATH", "where files are; where the program chatd is, unless it lies beside chatctl"),
    #[cfg(windows)]
    ("APPDATA, LOCALAPPDATA", "where files are, see: chatctl help files"),
    #[cfg(windows)]
    ("PATH", "where the program chatd is, unless it lies beside chatctl"),
];

#[cfg(not(windows))]
const FILES: &str = "\
Where things are; the paths that hold for you: chatctl config path

  configuration     ~/.config/chat/config.toml
  history, outbox   ~/.local/share/chat/PROFILE/chat.db
  keys, servers     ~/.local/state/chat/        (also this account's key for peers, and theirs)
  received files    ~/Downloads: files.dir of the configuration, or where file accept -o says
  log of chatd      ~/.local/state/chat/chatd.log, or the journal under systemd
  control socket    /run/user/UID/chat/sock, else ~/.local/state/chat/run/sock

XDG_CONFIG_HOME, XDG_DATA_HOME and XDG_STATE_HOME take the place of the first parts. With CHAT_HOME=DIR (or --home DIR) everything lies
under DIR. All of it is readable by you alone. Message texts are in the history, and nowhere else: never in a log.";

#[cfg(windows)]
const FILES: &str = "\
Where things are; the paths that hold for you: chatctl config path

  configuration     %APPDATA%\\chat\\config.toml
  history, outbox   %LOCALAPPDATA%\\chat\\data\\PROFILE\\chat.db
  keys, servers     %LOCALAPPDATA%\\chat\\state\\        (also this account's key for peers, and theirs)
  received files    Downloads: files.dir of the configuration, or where file accept -o says
  log of chatd      %LOCALAPPDATA%\\chat\\state\\chatd.log
  control socket    the named pipe \\\\.\\pipe\\chat-SID, which lets in nobody but you

With CHAT_HOME=DIR (or --home DIR) everything lies under DIR and the pipe has a name of its own. Nobody but you, administrators and the
system may read any of it. Message texts are in the history, and nowhere else: never in a log.";

const PRIVACY: &str = "\
Who can see what:

  the network       nothing but that you talk to a server: TLS 1.3 only
  the server        who talks to whom and when, and the texts that it passes on; it keeps a text until every device has it
  private sessions  the server knows who asked whom, the note, and when; texts and files it cannot read, and does not get unless its
                    relay has to pass them on, encrypted
  a private peer    your address, once both agreed; with --relay-only the relay's instead. Nobody before that
  other users       that you are online, and with -v since when; not those whom you blocked
  whom you block    that a message to you is refused, and no more: not whether you are online
  this computer     other users nothing; who is you, or root, everything: history and keys are plain files

Text given as an argument is visible in ps and in the shell's history. Text on stdin is not:

  chatctl message bob < secret.txt
  chatctl private bob < secret.txt

Whether somebody stands between you and a peer, the server included, is told by a code that is equal on both sides:

  chatctl sessions verify bob";

const SCRIPTING: &str = "\
For scripts:

  --json            one object a command, one a line for streams; fields are only added: chatctl schema
  --plain           columns between tabs, no header
  exit codes        chatctl help exit-codes
  --id KEY          makes a retry safe: the same key never sends twice
  --wait STATE      queued (on this disk), accepted (on the server's), delivered (on one of the recipient's), read
  --timeout D       a bound on everything, 10s where not given
  --no-input        never ask: exit 12 names the flag that was missing

A message that was answered with 5 or 9 is kept and goes out by itself:

  make test 2>&1 | tail -5 | chatctl message ops --id build-77 || test $? -eq 5

Follow messages, each once, whatever is killed meanwhile: chatd keeps a cursor, which stands behind what you acknowledged:

  chatctl watch --json --only message --cursor triage | while read -r line; do
    handle \"$line\" && chatctl ack triage \"$(jq -r .id <<<\"$line\")\" || break; done
  chatctl watch --only message --cursor triage --exec ./handle       # the same: acknowledged when ./handle ends with 0
  chatctl cursor list

Look back, without marking anything as read:

  chatctl search --json backup failed --from ci --since 7d
  chatctl export --since \"$last\" >> history.ndjson
  chatctl unread --format waybar --follow

Own messages that wait or failed; a retry never doubles:

  chatctl outbox retry
  chatctl outbox cancel ID

Private sessions: consent is an object that any terminal answers; a peer that is away keeps the session for 60 s:

  chatctl startprivate bob --wait || exit
  chatctl private bob < secret.txt && chatctl stopprivate bob
  chatctl watch --json --only private,file | while read -r line; do handle \"$line\"; done

A program may speak to chatd itself, in JSON-RPC (help rpc, help call):

  chatctl call unread";

/// The text of a topic.
pub fn topic(name: &str) -> Option<String> {
    match name {
        "exit-codes" => Some(exit_codes()),
        "environment" => Some(table(
            "Variables that chatctl heeds; one that is set to nothing counts as one that is not set:",
            ENVIRONMENT.iter().copied(),
        )),
        "json" => Some(json()),
        "files" => Some(FILES.to_owned()),
        "privacy" => Some(PRIVACY.to_owned()),
        "scripting" => Some(SCRIPTING.to_owned()),
        _ => None,
    }
}

/// The list of topics.
pub fn list() -> String {
    table("Topics (chatctl help TOPIC):", TOPICS.iter().copied())
}

fn exit_codes() -> String {
    let rows: Vec<_> = Exit::ALL.iter().map(|exit| (exit.number().to_string(), exit.meaning())).collect();
    table("Exit codes:", rows.iter().map(|(number, meaning)| (number.as_str(), *meaning)))
}

fn json() -> String {
    let head = "\
With --json a command prints objects of format 1 (--json=1 pins it). Every object has v and type; lists have items; times are RFC 3339 in
UTC with milliseconds; ids are opaque. Fields are only ever added. An error is one object on stderr, of type error. JSON Schema: chatctl
schema, or chatctl schema TYPE. The types:";
    table(head, OBJECTS.iter().map(|object| (object.name, object.about)))
}

/// Names above their meanings' column; a name too long for it stands on a line of its own.
fn table<'a>(head: &str, rows: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    const COLUMN: usize = 16;
    let mut text = format!("{head}\n");
    for (name, meaning) in rows {
        if name.len() > COLUMN {
            text += &format!("\n  {name}\n  {:COLUMN$}  {meaning}", "");
        } else {
            text += &format!("\n  {name:COLUMN$}  {meaning}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_has_a_text() {
        for (name, _) in TOPICS {
            assert!(topic(name).is_some_and(|text| text.lines().count() > 5), "{name}");
        }
        assert_eq!(topic("nonsense"), None);
    }

    #[test]
    fn every_variable_of_a_flag_is_listed() {
        let listed = topic("environment").expect("a topic");
        for arg in crate::args::command().get_arguments() {
            if let Some(variable) = arg.get_env() {
                assert!(listed.contains(&*variable.to_string_lossy()), "{variable:?}");
            }
        }
    }

    #[test]
    fn texts_are_ascii_and_fit_a_wide_page() {
        for (name, _) in TOPICS {
            let text = topic(name).expect("a topic");
            assert!(text.is_ascii(), "{name}");
            assert!(text.lines().all(|line| line.len() <= 140), "{name}");
        }
    }
}
