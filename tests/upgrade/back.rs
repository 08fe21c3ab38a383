//! Back to an earlier build: a form that is newer than the program is refused, named, and not written to (S51).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use chat_tests::{Build, World};
use rusqlite::Connection;

use crate::carry::{carried_on, everything_once, includes};
use crate::town::{HISTORY, Town, facts, forms_of};
use crate::{case, earlier};

/// What lies below a directory. A reader of a database makes files beside it that hold nothing, and the memory that readers share.
fn content(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut found = BTreeMap::new();
    for path in entries {
        let name = path.display().to_string();
        if path.is_dir() {
            found.extend(content(&path));
        } else if !name.ends_with("-shm") {
            let bytes = fs::read(&path).expect("a file");
            if !bytes.is_empty() {
                found.insert(name, bytes);
            }
        }
    }
    found
}

/// A history of a chatd of tomorrow, whose last commit lies in the log beside the database alone, as a killed chatd leaves it.
fn of_tomorrow(file: &Path) {
    let open = Connection::open(file).expect("a history");
    open.pragma_update(None, "wal_autocheckpoint", 0).expect("set");
    open.execute_batch(
        "INSERT INTO refinery_schema_history SELECT max(version) + 1, 'tomorrow', '2030-01-01T00:00:00Z', '1' FROM refinery_schema_history",
    )
    .expect("raised");
    let dir = file.parent().expect("a folder");
    let aside = dir.with_extension("aside");
    fs::create_dir(&aside).expect("a folder");
    for name in ["chat.db", "chat.db-wal"] {
        fs::copy(dir.join(name), aside.join(name)).expect("a copy");
    }
    drop(open);
    for name in ["chat.db", "chat.db-wal"] {
        fs::rename(aside.join(name), dir.join(name)).expect("put back");
    }
    fs::remove_dir(&aside).expect("empty");
    assert!(fs::metadata(dir.join("chat.db-wal")).expect("the log").len() > 0);
}

#[test]
fn s51_a_newer_history_is_refused_and_not_written_to() {
    let mut world = World::start();
    let (alice, bob) = (world.user("alice"), world.user("bob"));
    alice.sends("bob", "before");
    bob.gets(&["before"]);
    let (server, file) = (world.server.address().to_string(), world.password_file());
    let second =
        ["--profile", "second", "register", "carol", "--server", &server, "--password-file", &file, "--no-input"];
    alice.run(&second).ok();
    alice.run(&["profile", "default", "default"]).ok();
    world.server.kill();
    alice.run(&["message", "--timeout", "5s", "bob", "queued"]).exits(5);
    alice.kill();
    of_tomorrow(&alice.dir().join(HISTORY));
    let before = content(&alice.dir().join("data/default"));
    world.server.up();
    alice.up();
    for args in [&["status"][..], &["message", "bob", "lost?"], &["read"], &["login"], &["outbox"], &["status"]] {
        let refused = alice.json(args).fails_with("newer_history", 10);
        let error = refused.error();
        let text = error["message"].as_str().unwrap_or_default();
        assert!(text.contains("written by a newer chatd") && text.contains("chat.db: it has form"), "{text}");
        assert_eq!(error["hint"], "chatctl daemon restart", "{refused}");
    }
    assert_eq!(content(&alice.dir().join("data/default")), before, "a byte was written");
    // the other profile of the same chatd goes on
    alice.run(&["--profile", "second", "status", "--wait", "online", "--timeout", "30s"]).ok();
    alice.run(&["--profile", "second", "message", "bob", "from the second"]).ok();
    // the chatd of tomorrow is back, as far as this one can tell
    alice.kill();
    let raised = Connection::open(alice.dir().join(HISTORY)).expect("a history");
    raised.execute_batch("DELETE FROM refinery_schema_history WHERE name = 'tomorrow'").expect("set back");
    drop(raised);
    alice.up();
    alice.online();
    bob.gets(&["before", "from the second", "queued"]);
}

#[test]
#[ignore = "needs an earlier build: tests/upgrade/run"]
fn an_earlier_build_does_no_harm_to_what_is_newer() {
    let old = earlier();
    let mut town = case("a town is made by the earlier build", || Town::made(&old));
    town.of(&Build::Tested);
    let was = town.forms;
    carried_on(&mut town);
    town.world.server.stop();
    let told = town.tell();
    for (_, home) in town.homes() {
        home.kill();
    }
    let now = forms_of(town.world.server.dir(), town.home("alice").dir());
    town.of(&old);
    if now.store > was.store {
        case("the earlier server refuses the newer store", || refused_store(&mut town));
    }
    if now.history > was.history {
        case("the earlier chatd refuses the newer history", || refused_history(&town));
    }
    town.of(&Build::Tested);
    case("what is newer goes on as it was", || {
        for (name, home) in town.homes() {
            home.up();
            if let Err(difference) = includes(&facts(home, town.forms), &told[name], name) {
                panic!("{difference}");
            }
        }
        town.world.server.up();
        for (_, home) in town.homes() {
            home.online();
        }
        town.say("alice", "bob", "after the way back").ok();
        everything_once(&town);
    });
}

fn refused_store(town: &mut Town) {
    let dir = town.world.server.dir().join("data");
    let before = content(&dir);
    let end = town.world.server.launch(&[]).expect_err("the store is newer");
    assert!(end.code().is_some_and(|code| code != 0), "{end}");
    let log = fs::read_to_string(town.world.server.log()).expect("its log");
    assert!(log.contains("schema"), "{log}");
    let changed: Vec<_> =
        before.iter().filter(|(name, bytes)| content(&dir).get(*name) != Some(bytes)).map(|(name, _)| name).collect();
    eprintln!(
        "   it ended with {end} and {}",
        if changed.is_empty() { "wrote nothing".into() } else { format!("changed {changed:?}") }
    );
}

fn refused_history(town: &Town) {
    let bob = town.home("bob");
    bob.up();
    let refused = bob.json(&["status"]);
    assert_ne!(refused.code, 0, "{refused}");
    assert_ne!(refused.code, -1, "{refused}");
    eprintln!("   it says {} (exit {})", refused.stderr.trim(), refused.code);
    bob.kill();
}
