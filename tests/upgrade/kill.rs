//! Killed while a migration runs, at every call that writes or flushes, or at some of them: the next start carries on as if nothing had
//! been. `strace` kills.

use std::path::PathBuf;
use std::process::ExitStatus;

use chat_tests::process::{until, within};
use chat_tests::{Build, needs};

use crate::carry::{arrives, shows};
use crate::keep::{copy, unpacked};
use crate::kept::kept;
use crate::town::{HISTORY, STORE, Town, forms_of};
use crate::{case, earlier, number};

/// Calls that change a database on the disk.
const CHANGES: &[&str] = &["pwrite64", "fdatasync", "fsync", "ftruncate", "unlink"];
/// Rows that make the migration of a history long.
const FILLING: usize = 2000;
/// Every so many kills of a chatd the whole town is looked at, not the victim alone.
const WHOLE: usize = 10;

#[derive(Clone, Copy, Debug)]
enum Victim {
    Server,
    Chatd,
}

#[test]
fn killed_at_some_moments_of_a_migration() {
    let town = unpacked(&kept().join("store1-history1"));
    kills(&town, 3);
}

#[test]
#[ignore = "needs an earlier build: tests/upgrade/run"]
fn killed_at_many_moments_of_a_migration() {
    let town = case("a town with a long history is made by the earlier build", || Town::filled(&earlier(), FILLING));
    kills(&town, number(50));
}

fn kills(town: &Town, count: u64) {
    if !needs::strace() {
        return;
    }
    for victim in [Victim::Server, Victim::Chatd] {
        // the last ones of a start come now and then: those of two starts are certain
        let calls = case(&format!("{victim:?}: a migration is counted"), || {
            let again = counted(town, victim);
            counted(town, victim).into_iter().filter(|call| again.contains(call)).collect::<Vec<_>>()
        });
        let wanted = usize::try_from(count).expect("a small number").min(calls.len());
        if wanted == 0 {
            eprintln!("   the form is that of the tested build: there is nothing to migrate");
            continue;
        }
        let mut killed = 0;
        for turn in 0..wanted {
            let (call, at) = &calls[turn * calls.len() / wanted];
            let name = format!(
                "{victim:?} killed at {call} {at}, call {} of {}",
                turn * calls.len() / wanted + 1,
                calls.len()
            );
            killed += usize::from(case(&name, || one(town, victim, call, *at, turn)));
        }
        eprintln!("{victim:?}: {killed} of {wanted} were killed within the migration, nothing lost, nothing doubled");
        assert!(killed * 4 >= wanted * 3, "many were not killed: the test tested little");
    }
}

/// A copy of the town with its victim killed at a call; whether it was.
fn one(town: &Town, victim: Victim, call: &str, at: usize, turn: usize) -> bool {
    let mut town = copy(town);
    let wrap = strace(&town, victim, call, Some(at), "/dev/null");
    let bob = town.home("bob");
    let mut end = match victim {
        Victim::Server => town.world.server.launch(&wrap).err(),
        Victim::Chatd => bob.launch(&wrap).err(),
    };
    if end.is_none() {
        end = within(std::time::Duration::from_secs(5), || match victim {
            Victim::Server => town.world.server.ended(),
            Victim::Chatd => bob.ended(),
        });
    }
    town.world.server.kill();
    bob.kill();
    let whole = matches!(victim, Victim::Server) || turn.is_multiple_of(WHOLE);
    for (name, home) in town.homes().filter(|(name, _)| whole || *name == "bob") {
        home.up();
        shows(&town, name, home);
    }
    if whole {
        arrives(&mut town);
    }
    end.is_some_and(by_kill)
}

fn by_kill(end: ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt as _;
    end.signal() == Some(9)
}

/// The calls that a migrating start makes, in their order: each with its number among those of its name. None without a migration.
fn counted(town: &Town, victim: Victim) -> Vec<(String, usize)> {
    let mut town = copy(town);
    town.of(&Build::Tested);
    let file = town.world.path("calls");
    let wrap = strace(&town, victim, &CHANGES.join(","), None, &file.display().to_string());
    let bob = town.home("bob");
    match victim {
        Victim::Server => town.world.server.launch(&wrap).expect("the server starts"),
        Victim::Chatd => {
            bob.launch(&wrap).expect("chatd starts");
            until("the history is open", || (bob.run(&["unread"]).code == 0).then_some(()));
        }
    }
    let now = forms_of(town.world.server.dir(), bob.dir());
    let was = town.forms;
    let (from, to) = match victim {
        Victim::Server => (was.store, now.store),
        Victim::Chatd => (was.history, now.history),
    };
    eprintln!("   {victim:?}: from form {from} to {to}");
    town.world.server.kill();
    bob.kill();
    if from == to {
        return Vec::new();
    }
    let text = std::fs::read_to_string(&file).expect("strace wrote what it saw");
    let names = text.lines().filter_map(|line| line.split_whitespace().nth(1)?.split('(').next());
    let mut seen = std::collections::BTreeMap::new();
    let mut calls = Vec::new();
    for name in names.filter(|name| CHANGES.contains(name)) {
        let times: &mut usize = seen.entry(name.to_owned()).or_default();
        *times += 1;
        calls.push((name.to_owned(), *times));
    }
    calls
}

/// strace beside the program (`-D`: it stays our child), which sees only calls on the victim's database.
fn strace(town: &Town, victim: Victim, calls: &str, kill_at: Option<usize>, out: &str) -> Vec<String> {
    let file = match victim {
        Victim::Server => town.world.server.dir().join(STORE),
        Victim::Chatd => town.home("bob").dir().join(HISTORY),
    };
    let mut all: Vec<String> = ["strace", "-D", "-fqq", "-o", out, "-e"].map(str::to_owned).into();
    all.push(format!("trace={calls}"));
    if let Some(at) = kill_at {
        all.extend(["-e".to_owned(), format!("inject={calls}:signal=SIGKILL:when={at}")]);
    }
    for beside in ["", "-wal", "-journal"] {
        let path = PathBuf::from(format!("{}{beside}", file.display()));
        all.extend(["-P".to_owned(), path.display().to_string()]);
    }
    all
}
