//! The configuration that `init` writes: every key on a line of its own, with what it means.

use std::fmt::Write as _;

use super::{Layout, Written};

/// The text. `listen` replaces the usual address.
pub fn text(layout: &Layout, name: &str, listen: Option<&str>) -> String {
    let keys = Written::default();
    let mut out = String::from(
        "# chat-server.toml: what is not here, or commented out, has the value shown. Unknown keys are errors.\n\
         # Times: 90s 15m 2h 3d. Sizes: 64KiB 256MiB 1GiB. Relative paths start at the directory of this file.\n",
    );
    let mut key = |comment: &str, line: String| {
        // Writing to a String cannot fail.
        let _ = write!(out, "\n# {comment}\n{line}\n");
    };
    let listen =
        listen.map_or_else(|| keys.listen.iter().map(|l| format!("\"{}\"", l.0)).collect(), |l| format!("\"{l}\""));
    key(
        "Addresses to listen on, TLS only (needs restart). Started by systemd: chat-server.socket counts instead.",
        format!("listen = [{listen}]"),
    );
    key("Shown to users and used in certificates; \"\" = host name.", format!("name = \"{name}\""));
    key(
        "Names of accounts: standard (a-z 0-9 . _ -), classic (any printable ASCII without blanks, case kept).",
        "names = \"standard\"".into(),
    );
    key(
        "Once it runs the server confines itself to its own files, ports and system calls: on, off (needs restart).",
        "sandbox = \"on\"".into(),
    );
    for (comment, line) in tables(layout) {
        key(comment, line);
    }
    out
}

/// Paths as they are written: relative under `--dir`, so that the directory can move.
fn path(layout: &Layout, own: &str, system: &std::path::Path) -> String {
    if layout.own { format!("\"{own}\"") } else { format!("\"{}\"", system.display()) }
}

fn tables(layout: &Layout) -> Vec<(&'static str, String)> {
    let cert = path(layout, "tls/fullchain.pem", &layout.tls.join("fullchain.pem"));
    let key = path(layout, "tls/privkey.pem", &layout.tls.join("privkey.pem"));
    let data = path(layout, "data", &layout.data);
    let socket = path(layout, "run/admin.sock", &layout.run.join("admin.sock"));
    let backups = path(layout, "backups", &layout.backup);
    let line = str::to_owned;
    vec![
        ("Certificate chain in PEM, the server's own first.", format!("[tls]\ncert = {cert}")),
        (
            "Its private key in PEM; not readable for others. Started by systemd: the credential chat-server.tls-key instead, if it is there.",
            format!("key = {key}"),
        ),
        (
            "How often the two files are looked at, 1s to 1d; changed ones are served from then on.",
            line("reload_check = \"60s\""),
        ),
        ("Who may make an account: open, invite, closed.", line("[registration]\nmode = \"open\"")),
        (
            "A login with a name that nobody has may sign up, after asking; needs auth.tell_names.",
            line("at_login = false"),
        ),
        ("Wrong passwords in a row before a lock; 0 = never.", line("[auth]\nlockout_after = 3")),
        ("The first lock.", line("lockout_duration = \"60s\"")),
        ("Each lock in a row is twice the one before, up to 15 minutes.", line("lockout_doubles = true")),
        ("What a lock belongs to: source (name and source), account.", line("lockout_by = \"source\"")),
        ("A lock holds for logins by device key too.", line("lock_devices = false")),
        ("Who asks with a name learns whether somebody has it, and whether he is online.", line("tell_names = false")),
        (
            "A file \"name password\" that is read at start and appended to, in plain text (needs restart); \"\" = none.",
            line("credentials = \"\""),
        ),
        ("Another device of an account that logs in: many, replace, refuse.", line("[sessions]\npolicy = \"many\"")),
        ("Devices of one account, 1 to 8.", line("devices_per_user = 8")),
        ("Without activity a session is: away, logout.", line("idle = \"away\"")),
        ("After this long, 1s to 365d.", line("idle_after = \"30m\"")),
        ("A lost connection is announced after this long, 0s to 1h.", line("grace = \"10s\"")),
        (
            "A logout forgets the device's key: the next login asks for the password.",
            line("forget_device_at_logout = false"),
        ),
        ("Largest text, up to 64KiB.", line("[messages]\nmax_size = \"64KiB\"")),
        (
            "How long a message waits for somebody who is away, by the hours that the server runs.",
            line("offline_keep = \"90d\""),
        ),
        ("How many messages wait for one account.", line("offline_max_per_user = 10000")),
        ("The sender of a broadcast learns that somebody online was left out, never who.", line("tell_missed = false")),
        ("Announce who comes and goes.", line("[presence]\nbroadcast = true")),
        ("How far whoelsesince reaches, across restarts.", line("seen_keep = \"30d\"")),
        ("whoelsesince reaches back to the server's start and no further.", line("seen_since_start = false")),
        ("Broker private sessions.", line("[private]\nallow = true")),
        (
            "Where the relay for private sessions listens, TLS and UDP, e.g. \"[::]:7444\"; \"\" = off (needs restart). Started by \
             systemd: chat-server-relay.socket instead.",
            line("relay_listen = \"\""),
        ),
        ("How long a private request stays open, 1s to 1h.", line("request_ttl = \"2m\"")),
        ("Messages a second of one account; 0 = no limit, here and below.", line("[limits]\nmessages_per_second = 10")),
        ("Messages at once of one account.", line("message_burst = 20")),
        ("Broadcasts a minute of one account.", line("broadcasts_per_minute = 4")),
        (
            "Password logins a minute from one address; logins by device key never count.",
            line("password_logins_per_minute_per_source = 10"),
        ),
        (
            "Passwords tried a minute for one name, from everywhere; who is over it waits.",
            line("password_tries_per_minute_per_name = 20"),
        ),
        ("New accounts an hour from one address.", line("new_accounts_per_hour_per_source = 20")),
        ("Messages an hour of one account to names that do not exist.", line("unknown_recipients_per_hour = 20")),
        ("Private requests a minute of one account.", line("private_requests_per_minute = 10")),
        ("Bytes a second that the relay takes from one connection.", line("relay_bytes_per_second = \"4MiB\"")),
        ("Connections in all, those to the relay among them.", line("connections = 10000")),
        ("Database and server key (needs restart).", format!("[storage]\ndir = {data}")),
        ("Free space to keep: this, or 5 % if that is more; \"0\" = none.", line("reserve = \"256MiB\"")),
        ("Socket for live verbs (needs restart).", format!("[admin]\nsocket = {socket}")),
        (
            "Health and metrics over HTTP, e.g. \"127.0.0.1:7480\", loopback only; \"\" = off (needs restart). Started by systemd: \
             chat-server-http.socket instead.",
            line("http = \"\""),
        ),
        ("error, warn, info, debug, trace; never message text.", line("[log]\nlevel = \"info\"")),
        ("auto (journal under systemd), text, journal (needs restart).", line("format = \"auto\"")),
        ("Addresses of clients in the log: full, none.", line("addresses = \"full\"")),
        ("Where backups go.", format!("[backup]\ndir = {backups}")),
        ("Warn when the last backup is older.", line("warn_age = \"48h\"")),
    ]
}
