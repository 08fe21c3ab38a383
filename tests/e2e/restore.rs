//! Old copies of a disk: a server and a home that are set back reconcile with the others (contract rule 3).

use std::path::Path;
use std::process::Command;

use chat_tests::World;

/// A copy of a directory as it is on the disk now.
fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").args(["-a", "--"]).arg(from).arg(to).status().expect("cp runs");
    assert!(done.success());
}

fn put_back(from: &Path, to: &Path) {
    std::fs::remove_dir_all(to).expect("the newer one goes");
    copy(from, to);
}

#[test]
fn a_server_set_back_gets_again_what_it_had_accepted() {
    let mut world = World::start();
    let (alice, bob) = (world.user("alice"), world.user("bob"));
    alice.sends("bob", "zero");
    bob.gets(&["zero"]);
    bob.run(&["logout"]).ok();
    alice.sends("bob", "one");
    world.server.stop();
    let (data, old) = (world.server.dir().join("data"), world.path("old"));
    copy(&data, &old);
    world.server.up();
    alice.online();
    // three runs of chatd, so that two of the streams are finished ones of earlier starts
    alice.sends("bob", "two");
    alice.run(&["message", "nobody", "refused"]).exits(6);
    alice.restart();
    alice.sends("bob", "three");
    alice.restart();
    alice.sends("bob", "four");

    world.server.stop();
    put_back(&old, &data);
    world.server.up();
    alice.online();
    alice.sends("bob", "five");
    bob.run(&["login"]).ok();
    bob.gets(&["zero", "one", "two", "three", "four", "five"]);
    // once: another start of everything brings nothing again
    alice.restart();
    alice.online();
    bob.restart();
    alice.sends("bob", "six");
    bob.gets(&["zero", "one", "two", "three", "four", "five", "six"]);
}

#[test]
fn what_reached_its_reader_before_the_server_was_set_back_is_not_doubled() {
    let mut world = World::start();
    let (alice, bob) = (world.user("alice"), world.user("bob"));
    world.server.stop();
    let (data, old) = (world.server.dir().join("data"), world.path("old"));
    copy(&data, &old);
    world.server.up();
    alice.online();
    bob.online();
    alice.run(&["message", "bob", "one", "--wait", "delivered"]).ok();
    alice.restart();
    alice.run(&["message", "bob", "two", "--wait", "delivered"]).ok();
    bob.gets(&["one", "two"]);
    world.server.stop();
    put_back(&old, &data);
    world.server.up();
    bob.online();
    alice.online();
    alice.run(&["message", "bob", "three", "--wait", "delivered"]).ok();
    bob.gets(&["one", "two", "three"]);
}

#[test]
fn a_home_set_back_loses_and_doubles_nothing_of_others() {
    let mut world = World::start();
    let (alice, bob) = (world.user("alice"), world.user("bob"));
    alice.sends("bob", "one");
    bob.gets(&["one"]);
    bob.sends("alice", "reply");
    bob.kill();
    let (home, old) = (bob.dir().to_owned(), world.path("old-home"));
    copy(&home, &old);
    bob.up();
    bob.online();
    bob.sends("alice", "reply two");
    alice.gets(&["reply", "reply two"]);
    bob.kill();
    put_back(&old, &home);
    bob.up();
    bob.online();
    alice.sends("bob", "two");
    bob.gets(&["one", "two"]);
    // a new start is a new stream: no place is used twice with other content
    bob.sends("alice", "reply three");
    alice.gets(&["reply", "reply two", "reply three"]);
}
