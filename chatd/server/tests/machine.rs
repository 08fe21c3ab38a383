//! The operator and his machine, from outside: configuration, checks, certificates, backups, restore, the database.

mod stage;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use stage::{done, follow, initialised, program, running};

/// Before other settings: a port that nobody else has, whatever runs on this host.
const ANY_PORT: &str = "listen = [\"127.0.0.1:0\"]\n";

fn json(dir: &Path, args: &[&str]) -> Value {
    let (code, out, err) = done(dir, &[&["--json"], args].concat());
    assert_eq!(code, 0, "{err}");
    serde_json::from_str(&out).unwrap()
}

fn backed_up(dir: &Path) -> PathBuf {
    json(dir, &["backup", "create"])["file"].as_str().unwrap().into()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn s48_a_backup_is_for_its_owner_alone_and_is_restored() {
    let dir = initialised();
    let (mut child, _) = running(dir.path());
    assert_eq!(with_password(dir.path(), &["user", "add", "alice", "--password-stdin"]), 0);
    let file = backed_up(dir.path());
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(file.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
    let verified = json(dir.path(), &["backup", "verify", "latest"]);
    assert_eq!((&verified["db"], &verified["users"]), (&"ok".into(), &1.into()));
    let (code, out, _) = done(dir.path(), &["backup", "verify", text(&file)]);
    assert_eq!(code, 0);
    assert!(out.starts_with("chat-server-") && out.ends_with(" KiB: 1 user, 0 queued, db ok\n"), "{out}");

    // not while it runs
    let (code, _, err) = done(dir.path(), &["restore", "latest"]);
    assert!(code == 7 && err.contains(" stop\n"), "{err}");
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    child.wait().unwrap();
    let print = done(dir.path(), &["cert", "fingerprint"]).1;
    for gone in ["data/identity.key", "data/chat-server.db", "chat-server.toml", "tls/privkey.pem"] {
        fs::remove_file(dir.path().join(gone)).unwrap();
    }
    let back = json(dir.path(), &["restore", text(&file)]);
    assert_eq!(back["before"].as_str().map(|path| Path::new(path).is_dir()), Some(true), "{back}");
    assert_eq!(done(dir.path(), &["cert", "fingerprint"]).1, print);
    let (mut child, _) = running(dir.path());
    let users = json(dir.path(), &["user", "list"]);
    assert_eq!(users["items"].as_array().unwrap().iter().map(|row| &row["name"]).collect::<Vec<_>>(), ["alice"]);
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// How a verb ends that is given a password.
fn with_password(dir: &Path, args: &[&str]) -> i32 {
    let mut child = program(dir, args).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"correct horse battery\n").unwrap();
    child.wait().unwrap().code().unwrap()
}

#[test]
fn a_restore_elsewhere_touches_nothing_here_whatever_the_configuration_says() {
    let dir = initialised();
    let config = dir.path().join("chat-server.toml");
    let data = dir.path().join("data");
    let absolute =
        fs::read_to_string(&config).unwrap().replace("dir = \"data\"", &format!("dir = \"{}\"", text(&data)));
    fs::write(&config, absolute).unwrap();
    let file = backed_up(dir.path());
    let other = tempfile::tempdir().unwrap();
    let to = other.path().join("copy");
    let back = json(dir.path(), &["restore", text(&file), "--to", text(&to)]);
    assert_eq!((back["before"].as_str(), back["data"].as_str()), (None, to.join("data").to_str()));
    assert_eq!(done(&to, &["cert", "fingerprint"]).1, done(dir.path(), &["cert", "fingerprint"]).1);
    let (mut child, _) = running(&to);
    assert!(to.join("run/admin.sock").exists());
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    child.wait().unwrap();
    let (code, _, err) = done(dir.path(), &["restore", text(&file), "--to", text(&to)]);
    assert_eq!(code, 14, "there is something already: {err}");
}

#[test]
fn a_broken_backup_is_refused_and_changes_nothing() {
    let dir = initialised();
    let file = backed_up(dir.path());
    let good = fs::read(&file).unwrap();
    let database = fs::read(dir.path().join("data/chat-server.db")).unwrap();
    for bad in [&good[..good.len() / 2], b"nonsense".as_slice(), b""] {
        fs::write(&file, bad).unwrap();
        for verb in [["backup", "verify"], ["restore", "latest"]] {
            let args = if verb[0] == "backup" { vec!["backup", "verify", text(&file)] } else { verb.to_vec() };
            let (code, out, err) = done(dir.path(), &args);
            assert_eq!((code, out.as_str()), (14, ""), "{err}");
            assert!(err.contains("cannot be used"), "{err}");
            assert_eq!(follow(&err), 0);
        }
    }
    assert_eq!(fs::read(dir.path().join("data/chat-server.db")).unwrap(), database);
    assert!(!dir.path().join("data/restored.db").exists());
    let listed = json(dir.path(), &["backup", "list"]);
    assert!(listed["items"][0]["problem"].is_string(), "{listed}");
}

#[test]
fn a_restore_that_was_cut_short_keeps_the_server_down_until_it_is_done_again() {
    let dir = initialised();
    let file = backed_up(dir.path());
    fs::write(dir.path().join("data/restoring"), text(&file)).unwrap();
    fs::remove_file(dir.path().join("data/chat-server.db")).unwrap();
    let (code, out, err) = done(dir.path(), &["run", "--listen", "127.0.0.1:0"]);
    assert_eq!((code, out.as_str()), (78, ""), "{err}");
    assert!(!dir.path().join("data/chat-server.db").exists(), "no new database was made");
    assert_eq!(follow(&err), 0, "{err}");
    assert_eq!(done(dir.path(), &["user", "list"]).0, 0);
}

#[test]
fn old_backups_go_when_asked_and_without_any_it_is_said_how_to_make_one() {
    let dir = initialised();
    let (code, _, err) = done(dir.path(), &["backup", "verify", "latest"]);
    assert_eq!((code, follow(&err)), (6, 0), "{err}");
    let folder = dir.path().join("backups");
    for day in 1..4 {
        fs::write(folder.join(format!("chat-server-2020010{day}T000000Z.tar.zst")), b"").unwrap();
    }
    assert_eq!(json(dir.path(), &["backup", "create", "--keep", "2"])["removed"], 3);
    let left = fs::read_dir(&folder).unwrap().count();
    assert_eq!(left, 2);
    let other = dir.path().join("elsewhere");
    let made = json(dir.path(), &["backup", "create", text(&other)]);
    assert!(made["file"].as_str().unwrap().starts_with(text(&other)));
}

#[test]
fn a_full_disk_leaves_no_half_backup() {
    let dir = initialised();
    // No file may grow beyond 256,000 bytes, and what does not compress is more.
    let mut state = 88_172_645_463_325_252u64;
    let mut letter = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'a' + (state >> 32) as u8 % 16)
    };
    let noise: String = (0..900_000).map(&mut letter).collect();
    fs::create_dir(dir.path().join("chat-server.d")).unwrap();
    fs::write(dir.path().join("chat-server.d/noise.toml"), format!("# {noise}\n[storage]\nreserve = 0")).unwrap();
    let script = format!(
        "trap '' XFSZ; ulimit -f 500; exec {} --dir {} backup create",
        env!("CARGO_BIN_EXE_chat-server"),
        dir.path().display()
    );
    let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(14), "{err}");
    // Warnings at most: there is no backup yet.
    assert!(follow(&err) <= 1, "{err}");
    let left: Vec<_> = fs::read_dir(dir.path().join("backups")).unwrap().flatten().map(|entry| entry.path()).collect();
    assert!(left.is_empty(), "{left:?}");
    backed_up(dir.path());
}

#[test]
fn s51_a_newer_database_is_refused_and_not_written_to() {
    let dir = initialised();
    let db = dir.path().join("data/chat-server.db");
    let mut bytes = fs::read(&db).unwrap();
    // The user version of SQLite's header.
    bytes[60..64].copy_from_slice(&9999u32.to_be_bytes());
    fs::write(&db, &bytes).unwrap();
    for args in [&["run", "--listen", "127.0.0.1:0"][..], &["user", "list"], &["db", "upgrade"]] {
        let (code, out, err) = done(dir.path(), args);
        assert_eq!((code, out.as_str()), (78, ""), "{err}");
        assert!(err.contains("has schema 9999, this chat-server knows "), "{err}");
        assert_eq!(follow(&err), 0, "{err}");
        assert!(fs::read(&db).unwrap() == bytes, "{args:?} wrote into it");
    }
}

#[test]
fn the_database_is_looked_at_checked_and_rewritten() {
    let dir = initialised();
    let (mut child, _) = running(dir.path());
    let info = json(dir.path(), &["db", "info"]);
    assert_eq!((&info["accounts"], &info["current"]), (&0.into(), &true.into()), "{info}");
    assert_eq!(done(dir.path(), &["db", "check"]), (0, "db ok\n".into(), String::new()));
    let (code, _, err) = done(dir.path(), &["db", "vacuum"]);
    assert_eq!(code, 69, "{err}");
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    child.wait().unwrap();
    assert_eq!(done(dir.path(), &["db", "vacuum"]).0, 0);
    assert_eq!(json(dir.path(), &["db", "upgrade"])["backup"], Value::Null);
    // A flipped bit in a page: found, and said what to do.
    backed_up(dir.path());
    let db = dir.path().join("data/chat-server.db");
    let mut bytes = fs::read(&db).unwrap();
    let page = 4096 * 2;
    bytes[page..page + 64].fill(0xff);
    fs::write(&db, &bytes).unwrap();
    let (code, out, err) = done(dir.path(), &["db", "check"]);
    assert!(code != 0, "{out}{err}");
}

#[test]
fn the_default_configuration_is_one_and_differs_from_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (code, out, _) = done(dir.path(), &["config", "default"]);
    assert_eq!(code, 0);
    fs::write(dir.path().join("chat-server.toml"), &out).unwrap();
    let (code, shown, err) = done(dir.path(), &["config", "show"]);
    assert_eq!(code, 0, "{err}");
    assert!(shown.contains("sessions.idle_after = \"30m\""), "{shown}");
    let items = json(dir.path(), &["config", "diff"]);
    let keys: Vec<_> = items["items"].as_array().unwrap().iter().map(|item| item["key"].as_str().unwrap()).collect();
    assert!(
        keys.iter().all(|key| ["admin.socket", "backup.dir", "storage.dir", "tls.cert", "tls.key"].contains(key)),
        "{keys:?}"
    );
}

#[test]
fn drop_ins_win_and_it_is_shown_where_a_value_comes_from() {
    let dir = initialised();
    let folder = dir.path().join("chat-server.d");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("10.toml"), "[limits]\nmessage_burst = 5").unwrap();
    fs::write(folder.join("20.toml"), "name = \"other\"\nlimits = { message_burst = 6 }").unwrap();
    let shown = json(dir.path(), &["config", "diff"]);
    let burst = shown["items"].as_array().unwrap().iter().find(|item| item["key"] == "limits.message_burst").unwrap();
    assert_eq!((&burst["value"], &burst["default"], &burst["line"]), (&"6".into(), &"20".into(), &2.into()));
    assert!(burst["file"].as_str().unwrap().ends_with("20.toml"));
    let (_, effective, _) = done(dir.path(), &["config", "show", "--effective"]);
    assert!(effective.contains("name = \"other\"") && effective.contains("limits.message_burst = 6"), "{effective}");
}

#[test]
fn what_init_made_checks_clean_after_a_backup() {
    let dir = initialised();
    // How full the disk of the test is, and what else listens on this host, is not what this is about.
    set(dir.path(), &format!("{ANY_PORT}[storage]\nreserve = 0"));
    let (code, out, _) = done(dir.path(), &["check"]);
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("WARN storage: backup.dir: there is no backup yet"), "{out}");
    assert_eq!(follow(&out), 0);
    let (code, out, _) = done(dir.path(), &["check", "all"]);
    assert_eq!(code, 0, "{out}");
    for said in ["ok config", "ok tls: self-signed, 36", "ok net: free: 127.0.0.1:0", " GiB free", "ok time"] {
        assert!(out.contains(said), "{said} in {out}");
    }
    let (code, out, _) = done(dir.path(), &["check", "--nagios"]);
    assert_eq!(code, 0);
    assert!(
        out.starts_with("CHAT-SERVER OK - config, tls, net, storage, ") && out.contains("| errors=0 warnings=0 free="),
        "{out}"
    );
    assert_eq!(out.lines().count(), 1);
}

#[test]
fn checks_say_what_is_wrong_and_what_to_type() {
    let dir = initialised();
    let errors = |section: &str| {
        let (code, out, _) = done(dir.path(), &["check", section]);
        assert_eq!(code, 14, "{out}");
        out
    };
    let key = dir.path().join("tls/privkey.pem");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let out = errors("tls");
    assert!(out.contains("ERROR tls: tls.key: ") && out.contains("others may read it"), "{out}");
    assert_eq!(follow(&out), 0);
    assert_eq!(done(dir.path(), &["check", "tls"]).0, 0);

    let other = initialised();
    fs::copy(other.path().join("tls/privkey.pem"), &key).unwrap();
    let out = errors("tls");
    assert!(out.contains("certificate and key cannot be used"), "{out}");
    assert_eq!(follow(&out), 0);
    assert_eq!(done(dir.path(), &["check", "tls", "--nagios"]).0, 2);

    let identity = dir.path().join("data/identity.key");
    fs::set_permissions(&identity, fs::Permissions::from_mode(0o604)).unwrap();
    assert_eq!(follow(&errors("storage")), 0);
    fs::write(dir.path().join("data/restoring"), "x").unwrap();
    assert!(errors("storage").contains("a restore was cut short"));
    fs::remove_file(dir.path().join("data/restoring")).unwrap();

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    fs::create_dir(dir.path().join("chat-server.d")).unwrap();
    let drop_in = dir.path().join("chat-server.d/x.toml");
    fs::write(&drop_in, format!("\n\nlisten = [\"{}\"]", taken.local_addr().unwrap())).unwrap();
    let out = errors("net");
    assert!(out.contains("another program does") && out.contains("x.toml:3)"), "{out}");
    fs::write(&drop_in, "[sessions]\nidle_after = \"400d\"").unwrap();
    let out = errors("all");
    assert!(
        out.contains("ERROR config: sessions.idle_after: 34560000 is not between") && out.contains("x.toml:2)"),
        "{out}"
    );
    fs::write(&drop_in, "[admin]\nhttp = \"0.0.0.0:7480\"").unwrap();
    let out = errors("config");
    assert!(out.contains("can be reached by others") && out.contains("write 127.0.0.1:7480"), "{out}");
    let checked: Value = serde_json::from_str(&done(dir.path(), &["--json", "check"]).1).unwrap();
    assert_eq!((&checked["level"], &checked["items"][0]["key"]), (&"error".into(), &"admin.http".into()));
}

#[test]
fn a_relay_is_nothing_to_warn_of() {
    let dir = initialised();
    set(dir.path(), &format!("{ANY_PORT}[private]\nrelay_listen = \"127.0.0.1:0\""));
    let (code, out, err) = done(dir.path(), &["check", "config"]);
    assert_eq!((code, &*out), (0, "ok config: sandbox: landlock + seccomp\n"), "{err}");
    let (code, out, err) = done(dir.path(), &["check", "net"]);
    assert!(code == 0 && out.contains(" 127.0.0.1:0 127.0.0.1:0/udp"), "{out}{err}");
}

#[test]
fn connections_that_do_not_fit_are_warned_of() {
    let dir = initialised();
    let check = |settings: &str| {
        set(dir.path(), &format!("{ANY_PORT}{settings}"));
        let command = stage::program(dir.path(), &["check", "net"]);
        let mut limited = Command::new("sh");
        limited
            .args(["-c", "ulimit -n 1024 && exec \"$0\" \"$@\""])
            .arg(command.get_program())
            .args(command.get_args());
        let Output { status, stdout, .. } = limited.output().unwrap();
        (status.code().unwrap(), String::from_utf8(stdout).unwrap())
    };
    let relay = "[private]\nrelay_listen = \"127.0.0.1:0\"\n";
    assert_eq!(check("[limits]\nconnections = 896").0, 0);
    let (code, out) = check("[limits]\nconnections = 897");
    assert!(code == 1 && out.contains("WARN net: limits.connections: 897 ") && out.contains("room for 896"), "{out}");
    assert_eq!(check(&format!("{relay}[limits]\nconnections = 640")).0, 0);
    let (code, out) = check(&format!("{relay}[limits]\nconnections = 641"));
    assert!(code == 1 && out.contains("room for 640"), "{out}");
}

#[test]
fn a_credentials_file_is_warned_of_and_its_bad_lines_are_counted() {
    let dir = initialised();
    set(dir.path(), "[auth]\ncredentials = \"credentials.txt\"");
    fs::write(dir.path().join("credentials.txt"), "yoda wise@!man\nr2d2\nluke light==saber\nr2d2\n").unwrap();
    let (code, out, err) = done(dir.path(), &["check", "config"]);
    assert_eq!(code, 1, "{out}{err}");
    assert!(out.contains("WARN config: auth.credentials: keeps passwords in plain text"), "{out}");
    assert!(out.contains("2 lines are passed over, the first is line 2: no password after the name"), "{out}");
    assert!(!format!("{out}{err}").contains("saber"), "no password is shown: {out}");
}

#[test]
fn a_certificate_is_shown_and_a_request_made_for_its_key() {
    let dir = initialised();
    let shown = json(dir.path(), &["cert", "show"]);
    assert_eq!(shown["items"][0]["self_signed"], true);
    assert!(shown["items"][0]["names"].as_array().unwrap().contains(&"127.0.0.1".into()), "{shown}");
    let key = fs::read(dir.path().join("tls/privkey.pem")).unwrap();
    let (code, out, _) = done(dir.path(), &["cert", "csr", "chat.example.org", "10.0.0.1"]);
    assert_eq!(code, 0);
    assert!(out.starts_with("-----BEGIN CERTIFICATE REQUEST-----"), "{out}");
    assert_eq!(fs::read(dir.path().join("tls/privkey.pem")).unwrap(), key, "the key stays");
    assert_eq!(done(dir.path(), &["cert", "watch-test"]).0, 0);
    fs::remove_file(dir.path().join("tls/fullchain.pem")).unwrap();
    let (code, out, _) = done(dir.path(), &["cert", "watch-test"]);
    assert_eq!(code, 14, "{out}");
}

fn set(dir: &Path, text: &str) {
    fs::create_dir_all(dir.join("chat-server.d")).unwrap();
    fs::write(dir.join("chat-server.d/x.toml"), text).unwrap();
}

#[test]
fn a_reload_is_all_or_nothing_and_says_what_needs_a_restart() {
    let dir = initialised();
    let (mut child, _) = running(dir.path());
    let (code, out, _) = done(dir.path(), &["reload"]);
    assert_eq!((code, out.as_str()), (0, "reloaded; no key changed\n"));
    set(dir.path(), "[limits]\nmessage_burst = 7\n[log]\nformat = \"text\"");
    let (code, out, _) = done(dir.path(), &["reload"]);
    let said = "reloaded: limits.message_burst, log.format\nthese need a restart: log.format\n";
    assert_eq!((code, out.as_str()), (0, said));
    set(dir.path(), "[sessions]\ngrace = \"5s\"\nidle_after = \"30 min\"");
    let (code, out, err) = done(dir.path(), &["reload"]);
    assert_eq!((code, out.as_str()), (14, ""));
    assert!(err.contains("x.toml line 3 idle_after \"30 min\": write 30m. Old settings stay in force."), "{err}");
    assert_eq!(follow(&err), 14, "check says the same");
    let status = json(dir.path(), &["status"]);
    assert_eq!(status["restart"][0], "log.format", "{status}");
    fs::write(dir.path().join("chat-server.toml"), "garbage").unwrap();
    let (code, out, err) = done(dir.path(), &["stop"]);
    assert_eq!((code, out.as_str()), (0, "stopped\n"), "a broken file does not keep it from ending: {err}");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(!dir.path().join("run/admin.sock").exists());
}

#[test]
fn live_verbs_say_that_no_server_runs_and_how_to_start_one() {
    let dir = initialised();
    for args in [&["status"][..], &["top"], &["reload"], &["stop"], &["log", "level", "debug"]] {
        let (code, out, err) = done(dir.path(), args);
        assert_eq!((code, out.as_str()), (3, ""), "{args:?}: {err}");
        assert!(err.contains("is not running") && err.contains(" run\n"), "{err}");
    }
}

#[test]
fn the_log_level_falls_back_by_itself() {
    let dir = initialised();
    let (mut child, _) = running(dir.path());
    let level = || json(dir.path(), &["status"])["log"].as_str().unwrap().to_owned();
    assert_eq!(level(), "info");
    assert_eq!(done(dir.path(), &["log", "level", "DEBUG", "--for", "5s"]).0, 0);
    assert_eq!(level(), "debug");
    let began = std::time::Instant::now();
    while level() != "info" {
        assert!(began.elapsed() < std::time::Duration::from_secs(30), "it did not fall back");
    }
    assert_eq!(done(dir.path(), &["log", "level", "trace"]).0, 0);
    assert_eq!(level(), "trace");
    assert_eq!(done(dir.path(), &["log", "level", "loud"]).0, 2);
    assert_eq!(done(dir.path(), &["stop", "--grace", "1s"]).0, 0);
    child.wait().unwrap();
}

#[test]
fn changed_certificate_files_are_served_or_said_to_be_no_good() {
    let dir = initialised();
    set(dir.path(), "[tls]\nreload_check = \"1s\"\n[storage]\nreserve = 0");
    let (mut child, _) = running(dir.path());
    let trouble = || json(dir.path(), &["status"])["certificate_trouble"].clone();
    let wait = |what: &dyn Fn() -> bool| {
        let began = std::time::Instant::now();
        while !what() {
            assert!(began.elapsed() < std::time::Duration::from_secs(30), "in vain");
        }
    };
    assert!(trouble().is_null());
    let other = initialised();
    let copy = |file: &str| fs::copy(other.path().join("tls").join(file), dir.path().join("tls").join(file)).unwrap();
    copy("fullchain.pem");
    wait(&|| trouble().is_string());
    let (_, out, _) = done(dir.path(), &["status"]);
    assert!(out.contains("WARN certificate or key changed and cannot be used"), "{out}");
    assert_eq!(follow(&out), 14, "check tls says it too");
    copy("privkey.pem");
    wait(&|| trouble().is_null());
    assert_eq!(done(dir.path(), &["stop"]).0, 0);
    child.wait().unwrap();
}

/// The answer to a GET: status line and body.
fn get(address: &str, path: &str) -> (String, String) {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

#[test]
fn health_and_metrics_over_http_and_every_name_of_dashboard_and_alerts_is_scraped() {
    let dir = initialised();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    set(dir.path(), &format!("[admin]\nhttp = \"{address}\"\n[storage]\nreserve = 0"));
    let (mut child, server) = running(dir.path());
    // Something that is no client of ours, so that a refusal is counted.
    drop(std::io::Write::write_all(&mut std::net::TcpStream::connect(&server).unwrap(), b"GET / HTTP/1.0\r\n\r\n"));
    assert_eq!(get(&address, "/healthz"), ("HTTP/1.1 200 OK".into(), "ok\n".into()));
    let (head, body) = get(&address, "/readyz");
    assert_eq!(
        (head.as_str(), body.as_str()),
        ("HTTP/1.1 200 OK", "{\"v\":1,\"type\":\"ready\",\"ready\":true,\"reasons\":[]}\n")
    );
    let status: Value = serde_json::from_str(&get(&address, "/status").1).unwrap();
    assert_eq!((&status["type"], &status["online"]), (&"status".into(), &0.into()));
    assert_eq!(get(&address, "/else").0, "HTTP/1.1 404 Not Found");
    assert_eq!(done(dir.path(), &["reload"]).0, 0);
    let scrape = get(&address, "/metrics").1;

    let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/grafana");
    let dashboard: Value =
        serde_json::from_str(&fs::read_to_string(packaging.join("chat-server.json")).unwrap()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    assert_eq!(panels.len(), 15);
    let mut expressions: Vec<String> = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().unwrap())
        .map(|target| target["expr"].as_str().unwrap().to_owned())
        .collect();
    let alerts = fs::read_to_string(packaging.join("alerts.yml")).unwrap();
    expressions.extend(alerts.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).map(str::to_owned));
    assert!(expressions.len() > 30, "{expressions:?}");
    // What each of them is about has been described by the scrape, whether it has happened yet or not.
    let known = |name: &str| {
        let bare =
            ["_total", "_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        scrape.lines().any(|line| line.starts_with(&format!("# TYPE {bare} ")))
    };
    let mut seen = 0;
    for expression in &expressions {
        for word in
            expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| word.starts_with("chat_"))
        {
            assert!(known(word), "{word} of {expression} is not in\n{scrape}");
            seen += 1;
        }
    }
    assert!(seen > 30 && !known("chat_nonsense_total"));
    // And nothing that is scraped is left out of the dashboard.
    for line in scrape.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let name = line.split(' ').next().unwrap();
        assert!(expressions.iter().any(|expression| expression.contains(name)), "{name} is on no panel");
    }
    assert!(scrape.ends_with("# EOF\n"));
    assert_eq!(done(dir.path(), &["stop"]).0, 0);
    child.wait().unwrap();
}

/// A list of mappings with plain values is all the YAML that alerts need; every rule has its parts, and its next step is a verb.
#[test]
fn every_alert_has_an_expression_and_a_next_step() {
    let alerts =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/grafana/alerts.yml")).unwrap();
    assert!(!alerts.contains('\t'));
    let rules: Vec<&str> = alerts.split("      - alert: ").skip(1).collect();
    assert!(rules.len() >= 8);
    for rule in rules {
        for part in
            ["        expr: ", "        labels:\n          severity: ", "        annotations:\n          summary: "]
        {
            assert!(rule.contains(part), "{part} is missing in {rule}");
        }
        let next = rule.split("          next: ").nth(1).unwrap().lines().next().unwrap();
        assert!(next.starts_with("chat-server ") || next.starts_with("systemctl "), "{next}");
        if let Some(verb) = next.strip_prefix("chat-server ") {
            let args: Vec<&str> = verb.split(' ').chain(["--help"]).collect();
            assert_eq!(done(Path::new("/nonexistent"), &args).0, 0, "{next}");
        }
    }
}
