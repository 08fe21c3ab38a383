//! What the packages bring: every file that they name is there, none is forgotten, the tarball installs and leaves without a trace,
//! and what root sets up belongs to the account of the service. `packaging/smoke` installs the packages themselves, in a container.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use chat_tests::process::{binary, command, kill_child, until};
use chat_tests::{Output, needs};
use toml::Value;

/// An account that is on every machine and owns nothing there.
const NOBODY: u32 = 65534;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the repository")
}

fn ran(typed: &str, command: &mut Command) -> Output {
    Output::new(typed.to_owned(), &command.output().expect("it can be run"))
}

/// Where each asset of a package goes (without the first slash), with the file that it is made of (from the root of the repository).
fn assets(manifest: &str, kind: &str) -> BTreeMap<String, String> {
    let path = root().join(manifest);
    let text = fs::read_to_string(&path).expect("a manifest");
    let manifest: Value = toml::from_str(&text).expect("TOML");
    let listed = manifest["package"]["metadata"][kind]["assets"].as_array().expect("assets");
    let word = |value: &Value| value.as_str().expect("a word").to_owned();
    let one = |asset: &Value| {
        let (source, place) = match asset.as_array() {
            Some(asset) => (word(&asset[0]), word(&asset[1])),
            None => (word(&asset["source"]), word(&asset["dest"])),
        };
        let source = source.trim_start_matches("../").to_owned();
        let place = match place.strip_suffix('/') {
            Some(dir) => format!("{dir}/{}", source.rsplit('/').next().expect("a name")),
            None => place,
        };
        (place.trim_start_matches('/').to_owned(), source)
    };
    listed.iter().map(one).collect()
}

const MANIFESTS: [&str; 2] = ["chatd/server/Cargo.toml", "chatctl/Cargo.toml"];

/// Every file below a directory, from there.
fn files(below: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![below.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).expect("a directory") {
            let entry = entry.expect("an entry");
            if entry.file_type().expect("a kind").is_dir() {
                open.push(entry.path());
            } else {
                let path = entry.path().strip_prefix(below).expect("below").to_owned();
                found.insert(path.to_str().expect("UTF-8").to_owned());
            }
        }
    }
    found
}

#[test]
fn no_package_forgets_a_file() {
    let mut shipped = BTreeSet::new();
    for manifest in MANIFESTS {
        let (deb, rpm) = (assets(manifest, "deb"), assets(manifest, "generate-rpm"));
        for source in deb.values().chain(rpm.values()).filter(|source| !source.starts_with("target/release/")) {
            assert!(root().join(source).is_file(), "{manifest}: {source} is not there");
            shipped.insert(source.clone());
        }
        // the two systems have their own places for some things, and their own papers
        let own = |place: &str| {
            ["/zsh/", "/licenses/", "/copyright", "/THIRD-PARTY.gz", "-preset/"].iter().any(|part| place.contains(part))
        };
        let places = |list: &BTreeMap<String, String>| -> BTreeSet<String> {
            list.keys().filter(|place| !own(place)).cloned().collect()
        };
        assert_eq!(places(&deb), places(&rpm), "{manifest}: .deb and .rpm differ");
        for (place, source) in &deb {
            if let Some(other) = rpm.get(place) {
                assert_eq!(source, other, "{manifest}: {place}");
            }
        }
    }
    // what is in packaging/ and in no list: tools, and what the packagers take as scripts and papers
    let tools = ["build", "smoke", "quickstart", "lib.sh", "install.sh", "deb/changelog"];
    let taken = |path: &str| {
        shipped.contains(&format!("packaging/{path}"))
            || tools.contains(&path)
            || ["deb/chat-server/", "deb/chatctl/", "rpm/", "launchd/"].iter().any(|dir| path.starts_with(dir))
    };
    let forgotten: Vec<String> = files(&root().join("packaging")).into_iter().filter(|path| !taken(path)).collect();
    assert!(forgotten.is_empty(), "in packaging/ and in no package: {forgotten:?}");
    for (manifest, package) in MANIFESTS.iter().zip(["chat-server", "chatctl"]) {
        let text = fs::read_to_string(root().join(manifest)).expect("a manifest");
        for script in
            files(&root().join("packaging/rpm")).iter().filter(|name| name.starts_with(&format!("{package}.")))
        {
            assert!(text.contains(&format!("_script = \"packaging/rpm/{script}\"")), "{manifest} takes no {script}");
        }
        assert!(text.contains(&format!(
            "maintainer-scripts = \"../{}packaging/deb/{package}\"",
            if package == "chatctl" { "" } else { "../" }
        )));
    }
}

#[test]
fn every_script_of_a_package_can_be_read_by_its_shell() {
    let packaging = root().join("packaging");
    let mut count = 0;
    for path in files(&packaging) {
        let text = fs::read(packaging.join(&path)).expect("a file");
        let shell = match text.split(|byte| *byte == b'\n').next() {
            Some(b"#!/bin/sh") => "sh",
            Some(b"#!/usr/bin/env bash") => "bash",
            _ if path.starts_with("rpm/") && !path.ends_with(".preset") => "sh",
            _ => continue,
        };
        ran(&path, Command::new(shell).arg("-n").arg(packaging.join(&path))).ok();
        if !path.starts_with("rpm/") {
            let mode = fs::metadata(packaging.join(&path)).expect("a file").permissions().mode();
            assert_eq!(mode & 0o111, 0o111, "{path} cannot be called");
        }
        count += 1;
    }
    assert!(count > 15, "{count} scripts");
}

/// The tarball of the programs under test, unpacked.
fn tarball(dir: &Path) -> PathBuf {
    let mut build = Command::new(root().join("packaging/build"));
    build
        .args(["tar", "--fast", "--version", "1.2.3", "--bin-dir"])
        .arg(binary("chatctl").parent().expect("a directory"));
    build.arg("--out").arg(dir);
    let made = ran("packaging/build tar", &mut build).ok();
    let file = made.stdout.lines().last().expect("a path").to_owned();
    ran("tar", Command::new("tar").args(["-xzf", &file, "-C"]).arg(dir)).ok();
    PathBuf::from(file.strip_suffix(".tar.gz").expect("a tarball"))
}

fn install(tree: &Path, home: &Path, words: &[&str]) -> Output {
    let mut install = Command::new(tree.join("install.sh"));
    for name in ["DESTDIR", "XDG_DATA_HOME", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"] {
        install.env_remove(name);
    }
    install.args(words).env("HOME", home).stdin(Stdio::null());
    ran(&format!("install.sh {}", words.join(" ")), &mut install)
}

#[test]
fn the_tarball_installs_the_same_as_the_packages_and_leaves_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let tree = tarball(dir.path());
    let dest = dir.path().join("dest");
    let into = ["--prefix", "/usr", "--destdir", dest.to_str().expect("UTF-8")];
    let with = |first: &[&'static str]| [first, &into[..]].concat();
    fs::create_dir(&dest).expect("a directory");
    install(&tree, dir.path(), &with(&["uninstall"])).exits(1).says("nothing is installed below");
    install(&tree, dir.path(), &with(&[])).ok();
    let there = files(&dest);
    for manifest in MANIFESTS {
        for place in assets(manifest, "generate-rpm").into_keys() {
            // licences lie elsewhere, presets and the packages' own helper mean nothing to it
            if ["/licenses/", "-preset/", "user-managers"].iter().any(|part| place.contains(part)) {
                continue;
            }
            let (dir, name) = place.rsplit_once('/').expect("a place");
            let is_there = match name.strip_prefix('*') {
                Some(end) => there.iter().any(|path| path.starts_with(dir) && path.ends_with(end)),
                None => there.contains(&place),
            };
            assert!(is_there, "{place} is not installed: {there:#?}");
        }
    }
    let program =
        |name: &str, word: &str| ran(name, Command::new(dest.join("usr/bin").join(name)).arg(word).env_clear());
    for name in ["chatctl", "chatd", "chat-server"] {
        program(name, "--version").ok();
    }
    let example =
        fs::read_to_string(dest.join("usr/share/doc/chat-server/examples/chat-server.toml")).expect("an example");
    assert_eq!(example, ran("config default", command("chat-server").args(["config", "default"])).ok().stdout);
    // again, as an upgrade does: one that had a file more takes it away
    let list = dest.join("usr/share/chat/installed");
    let old = dest.join("usr/share/doc/chatctl/old");
    fs::write(&old, "of an earlier version").expect("a file");
    fs::OpenOptions::new()
        .append(true)
        .open(&list)
        .and_then(|mut list| writeln!(list, "/usr/share/doc/chatctl/old"))
        .expect("the list");
    install(&tree, dir.path(), &with(&[])).ok();
    assert!(!old.exists(), "what a version before had is still there");
    assert_eq!(files(&dest), there);
    // what is not its own stays, the rest goes
    let foreign = dest.join("usr/share/man/man1/other.1");
    fs::write(&foreign, "of somebody else").expect("a file");
    install(&dest.join("usr/share/chat"), dir.path(), &with(&["uninstall"])).ok();
    assert_eq!(files(&dest), BTreeSet::from(["usr/share/man/man1/other.1".to_owned()]));
    fs::remove_file(&foreign).expect("a file");
    install(&tree, dir.path(), &with(&[])).ok();
    install(&tree, dir.path(), &with(&["uninstall"])).ok();
    let left: Vec<_> =
        fs::read_dir(dest.join("usr")).map(|dir| dir.flatten().map(|e| e.path()).collect()).unwrap_or_default();
    assert!(files(&dest).is_empty() && left.iter().all(|path| path.ends_with("share")), "{left:?}");

    // one half of it, and for one user alone
    install(&tree, dir.path(), &with(&["--only", "server"])).ok();
    assert!(dest.join("usr/bin/chat-server").is_file() && !dest.join("usr/bin/chatctl").exists());
    let home = dir.path().join("home");
    fs::create_dir(&home).expect("a home");
    install(&tree, &home, &["--user"]).ok().says("next: chatctl register").says("is not in PATH");
    let unit = fs::read_to_string(home.join(".local/share/systemd/user/chatd.service")).expect("a unit");
    assert!(unit.contains(&format!("ExecStart={}/.local/bin/chatd ", home.display())), "{unit}");
    assert!(!home.join(".local/bin/chat-server").exists());
    install(&tree, &home, &["--user", "uninstall"]).ok().says("stay where they are");
    assert!(files(&home).is_empty(), "{:?}", files(&home));
    install(&tree, &home, &["--user", "--only", "server"]).exits(2).says("leave --user out");
    install(&tree, &home, &["--prefix", "here"]).exits(2).says("starts with /");
    install(&tree, &home, &["--nonsense"]).exits(2).says("usage: ");
}

#[test]
fn what_root_sets_up_belongs_to_the_account_of_the_service() {
    if !needs::root("acting for another account") {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let at = |name: &str| dir.path().join(name);
    // as the package makes them: configuration is root's to write and the account's to read, data and backups are the account's
    for (name, owner, mode) in [("", 0, 0o750), ("tls", 0, 0o750), ("data", NOBODY, 0o700), ("backups", NOBODY, 0o700)]
    {
        fs::create_dir_all(at(name)).expect("a directory");
        chown(at(name), Some(owner), Some(NOBODY)).expect("root may");
        fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).expect("a mode");
    }
    let server = |words: &[&str], input: &str| {
        let mut asked = command("chat-server");
        asked
            .arg("--dir")
            .arg(dir.path())
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = asked.spawn().expect("it can be run");
        child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("it reads");
        Output::new(words.join(" "), &child.wait_with_output().expect("it ends"))
    };
    server(&["init", "--self-signed"], "").ok();
    server(&["user", "add", "zoe", "--password-stdin"], "correct horse battery\n").ok();
    server(&["backup", "create"], "").ok();
    for (name, mode) in [("chat-server.toml", 0o640), ("tls/privkey.pem", 0o640), ("tls/fullchain.pem", 0o644)] {
        let found = fs::metadata(at(name)).expect("a file");
        assert_eq!((found.uid(), found.gid(), found.mode() & 0o777), (0, NOBODY, mode), "{name}");
    }
    for below in ["data", "backups"] {
        let found = files(&at(below));
        assert!(!found.is_empty(), "nothing in {below}");
        for name in found {
            let found = fs::metadata(at(below).join(&name)).expect("a file");
            assert_eq!((found.uid(), found.gid(), found.mode() & 0o077), (NOBODY, NOBODY, 0), "{below}/{name}");
        }
    }
    server(&["user", "list"], "").ok().says("zoe");
    // and when root starts it by hand, it serves as that account
    let mut run = command("chat-server");
    run.arg("--dir")
        .arg(dir.path())
        .args(["run", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = run.spawn().expect("it can be run");
    until("the server listens", || {
        let ended = child.try_wait().expect("a child");
        assert!(ended.is_none(), "it ended: {ended:?}");
        at("run/listen").exists().then_some(())
    });
    let process = fs::read_to_string(format!("/proc/{}/status", child.id())).expect("a process");
    let listen = fs::metadata(at("run/listen")).expect("a file").uid();
    kill_child(&mut child);
    assert_eq!(listen, NOBODY);
    for ids in ["Uid", "Gid"] {
        let whole = format!("{ids}:{}", format!("\t{NOBODY}").repeat(4));
        assert!(process.lines().any(|line| line == whole), "{process}");
    }
    assert!(process.lines().any(|line| line.trim() == format!("Groups:\t{NOBODY}")), "{process}");
}

#[test]
fn the_hook_of_certbot_puts_key_and_chain_where_they_belong() {
    let dir = tempfile::tempdir().expect("a directory");
    let at = |name: &str| dir.path().join(name);
    for (name, host) in [("server", "chat.example.org"), ("renewed", "chat.example.org")] {
        let mut init = command("chat-server");
        init.arg("--dir").arg(at(name)).args(["init", "--self-signed", "--name", host]);
        ran("init", &mut init).ok();
    }
    // the hook calls chat-server by its name and means the system's: here it is ours
    fs::create_dir(at("bin")).expect("a directory");
    let text = format!("#!/bin/sh\nexec {} --dir {} \"$@\"\n", binary("chat-server").display(), at("server").display());
    fs::write(at("bin/chat-server"), text).expect("a script");
    fs::set_permissions(at("bin/chat-server"), fs::Permissions::from_mode(0o755)).expect("a mode");
    let path = format!("{}:{}", at("bin").display(), std::env::var("PATH").expect("a path"));
    let hook = |settings: &[(&str, &str)]| {
        let mut hook = Command::new(root().join("packaging/certbot/chat-server"));
        hook.env_clear().env("PATH", &path).envs(settings.iter().copied());
        ran(&format!("hook {settings:?}"), &mut hook)
    };
    let pair = |name: &str| {
        ["fullchain.pem", "privkey.pem"].map(|file| fs::read(at(name).join("tls").join(file)).expect("a file"))
    };
    let (old, new) = (pair("server"), pair("renewed"));
    let renewed = at("renewed/tls");
    let lineage = ("RENEWED_LINEAGE", renewed.to_str().expect("UTF-8"));
    hook(&[]).exits(1).says("RENEWED_LINEAGE is not set");
    hook(&[("RENEWED_LINEAGE", "/no/such")]).exits(1).says("there is no fullchain.pem");
    hook(&[lineage, ("RENEWED_DOMAINS", "www.example.org chat.example.org.evil")]).ok().says("nothing done");
    assert_eq!(pair("server"), old);
    hook(&[lineage, ("RENEWED_DOMAINS", "www.example.org chat.example.org")]).ok().says("fullchain.pem");
    assert_eq!(pair("server"), new);
    for (file, mode) in [("fullchain.pem", 0o644), ("privkey.pem", 0o640)] {
        let found = fs::metadata(at("server/tls").join(file)).expect("a file");
        assert_eq!(found.mode() & 0o777, mode, "{file}");
    }
    assert_eq!(files(&at("server/tls")).len(), 2, "nothing is left behind");
    fs::write(at("server/chat-server.toml"), "nonsense").expect("a file");
    hook(&[lineage]).exits(1).says("next: chat-server check config");
}

/// launchd's own tools are on its own system alone; here the file is read by Python, which knows its format.
#[test]
fn the_agent_of_launchd_is_one() {
    let plist = root().join("packaging/launchd/chatd.plist");
    let script = "import json, plistlib, sys; print(json.dumps(plistlib.load(open(sys.argv[1], 'rb'))))";
    if !needs::met(needs::works(Command::new("python3").arg("-V")), "python3 is not installed") {
        return;
    }
    let read = Command::new("python3").args(["-c", script]).arg(&plist).output().expect("it can be run");
    let read = Output::new("plistlib".to_owned(), &read).ok();
    let agent: serde_json::Value = serde_json::from_str(&read.stdout).expect("JSON");
    assert_eq!(agent["Label"], "chatd", "it is called as its file");
    assert_eq!(agent["KeepAlive"]["SuccessfulExit"], false);
    let words: Vec<&str> =
        agent["ProgramArguments"].as_array().expect("a list").iter().filter_map(|word| word.as_str()).collect();
    assert!(words[0].starts_with('/') && words[0].ends_with("/chatd"), "{words:?}");
    let help = ran("chatd --help", command("chatd").arg("--help")).ok();
    assert!(words.len() > 1 && words[1..].iter().all(|flag| help.stdout.contains(&format!(" {flag} "))), "{words:?}");
    // keys of launchd.plist(5), all of them
    let known = [
        "Label",
        "ProgramArguments",
        "RunAtLoad",
        "KeepAlive",
        "ThrottleInterval",
        "ExitTimeOut",
        "ProcessType",
        "Umask",
    ];
    for key in agent.as_object().expect("an object").keys() {
        assert!(known.contains(&key.as_str()) || key == "HardResourceLimits", "{key}");
    }
}
