//! Lines of the log under attack (S25): one record each, the address first, and the shipped fail2ban rule sees only true ones.

use std::collections::BTreeSet;

use chat_proto::frame::Frame;
use chat_proto::{method, wire};
use regex::Regex;

use super::program::Program;
use crate::client::{Client, Device};
use crate::world::PASSWORD;

/// The rule that is shipped, as fail2ban reads it: its tag for an address stands for what addresses look like.
fn rule() -> Regex {
    let file =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging/fail2ban/chat-server.conf"))
            .unwrap();
    let rule = file.lines().find_map(|line| line.strip_prefix("failregex = ")).unwrap();
    assert!(rule.starts_with('^') && rule.ends_with('$'), "bound at both ends: {rule}");
    Regex::new(&rule.replace("<ADDR>", "(?P<address>[0-9a-fA-F:.]+)")).unwrap()
}

/// Everything that a client may make the server write looks like this.
const FORGED: &str = "x\n2026-11-27T00:00:00Z  INFO chat_server::audit: 1.2.3.4:5 login by password refused, wrong_credentials: account root\n";

#[tokio::test]
async fn s25_a_name_is_no_line_of_the_log() {
    let program = Program::start("log = { level = \"trace\" }").await;
    let (mut alice, mut bob) = (program.world.user("alice").await, program.world.user("reader").await);
    let (secret, guess) = ("a secret text of some length", "a wrong guess of some length");
    assert_eq!(alice.text("reader", secret).await.code, 0);
    assert_eq!(bob.read().await.1, secret);
    bob.barrier().await;
    let mut stranger = Client::bare(&program.world, Device::new()).await;
    let agent = wire::Identify { version_min: 1, version_max: 1, agent: FORGED.into() };
    stranger.ask::<wire::Identity>(method::IDENTIFY, &agent).await.unwrap();
    let names = ["bob", FORGED, "from 1.2.3.4", "1.2.3.4:5", "root\r\nfrom 1.2.3.4", "\u{1b}[2J", secret];
    for name in names {
        let mut stranger = Client::connect(&program.world).await;
        stranger.login(name, guess).await.unwrap_err();
        stranger.link.queue(&Frame { name: *b"\n1.2", tag: 1, body: FORGED.as_bytes().to_vec().into() });
        stranger.end().await;
        let _ = Client::connect(&program.world).await.register(name, "").await;
        // Strangers have a line a second: wait for the next one.
        tokio::time::sleep(std::time::Duration::from_millis(1001)).await;
    }
    let log = program.logged("login by password refused").await;
    for unsaid in [secret, PASSWORD, guess] {
        assert!(!log.contains(unsaid), "texts, passwords and what was typed for a name are not logged: {unsaid}");
    }
    assert!(log.contains(" login by password refused, wrong_credentials: account bob"), "what is to be seen is");
    let line = Regex::new(r"^\S+Z +(TRACE|DEBUG|INFO|WARN|ERROR) [a-z_:0-9]+: ").unwrap();
    let audit = Regex::new(r"^\S+Z +INFO chat_server::audit: 127\.0\.0\.1:\d+ [a-z]").unwrap();
    for text in log.lines() {
        assert!(line.is_match(text), "no record of its own: {text}");
        assert!(!text.contains("::audit: ") || audit.is_match(text), "the address comes first: {text}");
        assert!(!text.chars().any(char::is_control), "{text:?}");
    }
    let rule = rule();
    let found: Vec<_> = log.lines().filter_map(|text| rule.captures(text)).collect();
    let addresses: BTreeSet<_> = found.iter().map(|captures| captures["address"].to_owned()).collect();
    assert_eq!(addresses, BTreeSet::from(["127.0.0.1".to_owned()]), "{log}");
    assert!(found.len() >= names.len() - 1, "{} of {} guesses: {log}", found.len(), names.len());
    // What fail2ban itself sees has no time in front; and IPv6 is found too.
    let bare = " INFO chat_server::audit: [2001:db8::1]:40000 login by password refused, locked_out: account bob";
    assert_eq!(&rule.captures(bare).unwrap()["address"], "2001:db8::1");
    // What it makes of a record of the journal has host and program in front.
    let record = format!("chat.example.org chat-server[133]:{bare}");
    assert_eq!(&rule.captures(&record).unwrap()["address"], "2001:db8::1");
    assert!(!rule.is_match(" INFO chat_server::audit: 10.0.0.1:4 login by key: account bob, device 00"));
}
