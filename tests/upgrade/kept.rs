//! Towns that earlier builds made, kept as text beside this file: every later build carries them on. The keys in them open nothing else.

use std::path::{Path, PathBuf};

use crate::carry::{arrives, carried_on, shows_the_same};
use crate::earlier;
use crate::keep::{pack, unpacked};
use crate::town::Town;

/// Where they are.
pub fn kept() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("upgrade/kept")
}

macro_rules! carried_on {
    ($($test:ident: $name:literal;)+) => {
        $(#[test]
        fn $test() {
            carried_on(&mut unpacked(&kept().join($name)));
        })+

        #[test]
        fn each_kept_town_has_its_test() {
            let mut named = [$($name),+];
            named.sort_unstable();
            let mut found: Vec<String> = std::fs::read_dir(kept())
                .expect("the kept towns")
                .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
                .collect();
            found.sort();
            assert_eq!(found, named);
        }
    };
}

carried_on! {
    store_1_and_history_1_are_carried_on: "store1-history1";
    store_4_and_history_1_are_carried_on: "store4-history1";
    store_4_and_history_4_are_carried_on: "store4-history4";
    store_5_and_history_6_are_carried_on: "store5-history6";
    store_5_and_history_8_are_carried_on: "store5-history8";
}

/// By hand, before the server runs: the store is saved in the form that it had, then brought up to date.
#[test]
fn db_upgrade_saves_what_was_there() {
    let mut town = unpacked(&kept().join("store1-history1"));
    let done = town.world.server.ctl(&["--json", "db", "upgrade"]).ok().json();
    assert_eq!(done["from"], 1, "{done}");
    assert!(done["to"].as_u64() > Some(1), "{done}");
    assert!(done["backup"].is_string() || done["backup"].is_object(), "{done}");
    town.world.server.ctl(&["backup", "verify", "latest"]).ok();
    let again = town.world.server.ctl(&["--json", "db", "upgrade"]).ok().json();
    assert_eq!((&again["from"], &again["to"]), (&done["to"], &done["to"]), "there is nothing left to do");
    shows_the_same(&town);
    arrives(&mut town);
}

#[test]
#[ignore = "needs an earlier build: tests/upgrade/run keep"]
fn keep() {
    let town = Town::made(&earlier());
    let name = format!("store{}-history{}", town.forms.store, town.forms.history);
    let to = kept().join(&name);
    if to.exists() {
        std::fs::remove_dir_all(&to).expect("our folder");
    }
    pack(&town, &to);
    eprintln!("kept {name}: name it in upgrade/kept.rs");
}
