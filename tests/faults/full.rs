//! T6: the disk of the server, then that of a client, fills up and is freed again, over and over. Nothing is half accepted, the
//! server's reserve keeps logins and reads going, and what waited goes out once there is room.

use chat_tests::Home;
use chat_tests::process::until;

use crate::mounted::{Kind, Mounted, mountable};
use crate::number;
use crate::stage::{Stage, Victim};

/// Small enough to be filled at once, large enough for the database.
const SIZE_MIB: u64 = 24;

#[test]
fn the_servers_disk_fills_and_is_freed() {
    server(2, Kind::Ext4);
    server(1, Kind::Tmpfs);
}

#[test]
fn a_clients_disk_fills_and_is_freed() {
    client(2, Kind::Ext4);
    client(1, Kind::Tmpfs);
}

#[test]
#[ignore = "long: tests/faults/run full"]
fn disks_fill_and_are_freed() {
    for kind in [Kind::Ext4, Kind::Tmpfs] {
        server(number(125), kind);
        client(number(125), kind);
    }
}

fn server(cycles: u64, kind: Kind) {
    if !mountable(kind) {
        return;
    }
    let mut stage = Stage::new(&[("storage", "reserve", "\"4MiB\"")]);
    stage.kill(Victim::Server);
    let disk = Mounted::over(&stage.world.server.dir().join("data"), kind, SIZE_MIB);
    stage.up(Victim::Server);
    for cycle in 0..cycles {
        // room first, so that the ballast is laid
        stage.talk(2, |_| {});
        disk.fill();
        let key = format!("full-{cycle}");
        refused_for_now(&stage.alice, &key);
        still_served(&mut stage);
        if cycle % 2 == 1 {
            stage.kill(Victim::Server);
            stage.up(Victim::Server);
            refused_for_now(&stage.alice, &key);
        }
        disk.free();
        until("what waited is accepted", || {
            let sent = stage.alice.json(&["message", "--id", &key, "--timeout", "5s", "bob", &key]);
            (sent.code == 0).then_some(())
        });
        until("what waited arrives", || stage.bob.received().contains(&key).then_some(()));
        assert_eq!(stage.bob.received().iter().filter(|text| **text == key).count(), 1);
    }
    stage.no_panic();
    stage.kill(Victim::Server);
}

/// The server cannot take it now, and says nothing else: the message waits.
fn refused_for_now(home: &Home, key: &str) {
    let sent = home.json(&["message", "--id", key, "--timeout", "1s", "bob", key]);
    assert!(matches!(sent.code, 5 | 9), "a full server decides nothing: {sent}");
}

/// Reads, acknowledgements, logout and login go on.
fn still_served(stage: &mut Stage) {
    stage.bob.json(&["whoelse"]).ok();
    stage.bob.json(&["read", "alice"]).ok();
    stage.bob.json(&["logout"]).ok();
    stage.world.login(&stage.bob).ok();
}

fn client(cycles: u64, kind: Kind) {
    if !mountable(kind) {
        return;
    }
    let mut stage = Stage::new(&[]);
    stage.kill(Victim::Chatd);
    let disk = Mounted::over(stage.alice.dir(), kind, SIZE_MIB);
    stage.up(Victim::Chatd);
    stage.alice.online();
    for cycle in 0..cycles {
        stage.talk(2, |_| {});
        disk.fill();
        // pages that the database still has may take a few
        let refused = (0..2000).find_map(|number| {
            let text = format!("out-{cycle}-{number}-{}", "x".repeat(4000));
            let sent = stage.alice.json(&["message", "--timeout", "5s", "bob", &text]);
            (sent.code != 0).then_some((text, sent))
        });
        let (text, sent) = refused.expect("a full disk is noticed");
        assert_eq!(sent.code, 14, "a full disk is named: {}", sent.stderr);
        stage.bob.json(&["message", "--timeout", "5s", "alice", &format!("in-{cycle}")]).ok();
        disk.free();
        until("what waited at the server arrives", || {
            stage.alice.received().contains(&format!("in-{cycle}")).then_some(())
        });
        stage.talk(2, |_| {});
        assert!(!stage.bob.received().contains(&text), "what was refused is never sent");
    }
    stage.no_panic();
    stage.kill(Victim::Chatd);
}
