//! A short form of `tests/nat/run`: two chatd on one host, and two behind routers through which only the relay helps.

use std::process::Command;

use chat_tests::needs;
use chat_tests::process::binary;

#[test]
fn a_session_finds_its_path_through_routers_and_relay() {
    // network namespaces are root's; tests/nat/run has all cases
    let allowed = needs::works(Command::new("unshare").args(["--net", "true"]));
    if !needs::root("network namespaces") || !needs::met(allowed, "this system gives no network namespace") {
        return;
    }
    let run = concat!(env!("CARGO_MANIFEST_DIR"), "/nat/run");
    let chatd = binary("chatd");
    let output = Command::new(run)
        .args(["same_host", "two_symmetric"])
        .env("CHAT_BIN_DIR", chatd.parent().expect("a file has a folder"))
        .env("NAT_TEXTS", "100")
        .env("NAT_SECONDS", "1")
        .output()
        .expect("a script can be run");
    let (told, complaints) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}\n{complaints}");
    let starts = |line: &&str| line.starts_with("same_host") || line.starts_with("two_symmetric");
    let lines: Vec<&str> = told.lines().filter(starts).collect();
    assert!(lines.len() == 2 && lines[0].contains(" direct; ") && lines[1].contains(" relay; "), "{told}");
}
