//! Kernels without a sandbox, and one that has it and fails: what the daemons do then. `strace` plays the kernel.

use chat_tests::needs;
use chat_tests::process::until;

use crate::inject::strace;
use crate::stage::{Stage, Victim};

#[test]
fn a_kernel_that_lacks_landlock_is_spoken_of_and_served_on() {
    if !needs::strace() {
        return;
    }
    let mut stage = Stage::new(&[]);
    stage.kill(Victim::Chatd);
    stage.launch(Victim::Chatd, &strace("landlock_create_ruleset", "error=ENOSYS")).expect("chatd serves");
    // lines are written by a thread of their own
    let loud = until("a line about it", || {
        let log = stage.log_of(Victim::Chatd);
        log.lines().find(|line| line.contains("no Landlock here")).map(str::to_owned)
    });
    assert!(loud.contains("WARN") && loud.contains("5.19"), "{loud}");
    stage.alice.run(&["daemon", "status"]).ok().says("sandbox: seccomp; no landlock here; Linux 5.19");
    assert!(stage.alice.json(&["daemon", "status"]).ok().json()["sandbox"]["landlock"].is_null());
    stage.kill(Victim::Chatd);
    stage.up(Victim::Chatd);

    stage.kill(Victim::Server);
    stage.launch(Victim::Server, &strace("landlock_create_ruleset", "error=EOPNOTSUPP")).expect("the server serves");
    stage.world.server.ctl(&["status"]).ok().says("WARN files are not confined").says("next: ");
    stage.kill(Victim::Server);
    stage.up(Victim::Server);
    stage.talk(1, |_| {});
    stage.check("a kernel without Landlock");
}

/// What the kernel has and refuses is no reason to go on without.
#[test]
fn a_sandbox_that_is_refused_ends_the_start() {
    if !needs::strace() {
        return;
    }
    for (call, fault) in [("landlock_restrict_self", "error=EPERM"), ("seccomp", "error=EACCES")] {
        let mut stage = Stage::new(&[]);
        let nexts = ["next: chatctl config set sandbox off", "next: write sandbox = \"off\" into "];
        for (victim, next) in [Victim::Chatd, Victim::Server].into_iter().zip(nexts) {
            stage.kill(victim);
            let ended = stage.launch(victim, &strace(call, fault)).expect_err("it does not serve");
            assert_eq!(ended.code(), Some(71), "{call}: {ended}");
            let text = stage.log_of(victim);
            assert!(text.contains("the sandbox cannot be applied"), "{text}");
            assert!(text.contains(next), "{text}");
            stage.up(victim);
        }
    }
}
