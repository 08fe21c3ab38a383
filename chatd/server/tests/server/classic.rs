//! The strict forms of the rules, each beside its soft twin (mission rules 1 to 17).

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use chat_proto::fault::{Code, Fault};
use chat_proto::frame::Frame;
use chat_proto::{method, status, wire};
use prost::Message as _;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::client::{Client, Device, SOON};
use crate::world::{PASSWORD, World};

const KNOWN: u32 = 1;
const UNKNOWN: u32 = 2;
const ACTIVE: u32 = 3;

fn code<T: std::fmt::Debug>(done: Result<T, Fault>) -> Code {
    done.unwrap_err().code
}

async fn log_out(client: &mut Client) {
    client.ask::<wire::Empty>(method::LOGOUT, &wire::Logout::default()).await.unwrap();
}

/// Answers PINGs until the connection ends; the code of its end.
async fn answer_pings(client: &mut Client) -> Option<Code> {
    while let Ok(Some(frame)) = client.frame().await {
        match frame.name {
            method::PING => client.link.queue(&Frame { name: method::PONG, ..frame }),
            status::END => return Some(Code(wire::Bye::decode(frame.body).unwrap().code)),
            _ => {}
        }
    }
    None
}

#[tokio::test]
async fn a_name_is_known_unknown_or_active() {
    let world = World::classic("").await;
    let mut yoda = world.user("Yoda!").await;
    let mut again = Client::connect_as(&world, yoda.device.clone()).await;
    assert_eq!(again.name("Yoda!").await.unwrap().state, KNOWN, "his own session is not elsewhere");
    let mut stranger = Client::connect(&world).await;
    let (state, _) = tokio::join!(stranger.name("Yoda!"), timeout(Duration::from_secs(1), answer_pings(&mut yoda)));
    assert_eq!(state.unwrap().state, ACTIVE);
    let unknown = stranger.name("yoda!").await.unwrap();
    assert_eq!((unknown.state, unknown.sign_up), (UNKNOWN, true), "another name may be typed on the same connection");
    assert!(unknown.keeps_case && unknown.forgets_device);
    assert_eq!(code(stranger.name("two words").await), Code::BAD_NAME);
    log_out(&mut yoda).await;
    assert_eq!(stranger.name("Yoda!").await.unwrap().state, KNOWN);
}

#[tokio::test]
async fn by_default_nothing_is_said_of_a_name() {
    let world = World::start().await;
    world.user("alice").await;
    let mut stranger = Client::connect(&world).await;
    for name in ["alice", "nobody", "two words", ""] {
        assert_eq!(stranger.name(name).await.unwrap(), wire::NameState::default(), "{name}");
    }
}

#[tokio::test]
async fn names_keep_their_case_and_may_have_odd_characters() {
    let world = World::classic("").await;
    let mut small = world.user("hans").await;
    let mut large = world.user("Hans").await;
    let mut odd = world.user("r2-d2!@#$%^&*()").await;
    let mut root = world.user("root").await;
    assert_eq!(small.text("Hans", "to the large one").await.code, Code::ACCEPTED.0);
    assert_eq!(large.read().await, ("hans".into(), "to the large one".into()));
    assert_eq!(small.text("HANS", "to nobody").await.code, Code::UNKNOWN_USER.0);
    assert_eq!(root.text("r2-d2!@#$%^&*()", "beep").await.code, Code::ACCEPTED.0);
    assert_eq!(odd.read().await, ("root".into(), "beep".into()));
    let account = |name: &str| wire::Account { account: name.into() };
    large.ask::<wire::BlockChanged>(method::BLOCK, &account("hans")).await.unwrap();
    assert_eq!(code(large.ask::<wire::BlockChanged>(method::BLOCK, &account("HANS")).await), Code::UNKNOWN_USER);
    assert_eq!(small.text("Hans", "no more").await.code, Code::RECIPIENT_BLOCKED.0);
}

#[tokio::test]
async fn the_lock_is_the_names_from_everywhere_and_for_devices_too() {
    let world = World::classic("auth = { lockout_duration = \"1h\" }").await;
    let mut yoda = world.user("yoda").await;
    let mut guesser = Client::connect(&world).await;
    for expected in [Code::WRONG_CREDENTIALS, Code::WRONG_CREDENTIALS, Code::LOCKED_OUT] {
        assert_eq!(code(guesser.login("yoda", "x").await), expected);
    }
    let left = |fault: Fault| fault.retry_after_ms.unwrap();
    let first = left(guesser.login("yoda", PASSWORD).await.unwrap_err());
    let second = left(guesser.login("yoda", "x").await.unwrap_err());
    assert!(second <= first, "a try during the lock does not extend it");
    // A name that differs by case alone is another one; the session that is online goes on.
    assert_eq!(code(guesser.login("Yoda", "x").await), Code::WRONG_CREDENTIALS);
    yoda.barrier().await;
    let mut device = Client::connect_as(&world, yoda.device.clone()).await;
    let refused = device.by_key("yoda").await.unwrap_err();
    assert_eq!(refused.code, Code::LOCKED_OUT);
    assert!(refused.retry_after_ms.is_some());
}

#[tokio::test]
async fn every_lock_is_as_long_as_the_first() {
    let world = World::classic("auth = { lockout_duration = \"1s\" }").await;
    log_out(&mut world.user("yoda").await).await;
    for _ in 0..3 {
        let mut guesser = Client::connect(&world).await;
        for password in ["a", "b"] {
            assert_eq!(code(guesser.login("yoda", password).await), Code::WRONG_CREDENTIALS);
        }
        let fault = guesser.login("yoda", "c").await.unwrap_err();
        assert_eq!((fault.code, fault.retry_after_ms), (Code::LOCKED_OUT, Some(1000)));
        let entered = timeout(SOON, async {
            // The right password is refused until the lock is over, however often it is tried.
            while let Err(fault) = guesser.login("yoda", PASSWORD).await {
                assert_eq!(fault.code, Code::LOCKED_OUT);
                sleep(Duration::from_millis(fault.retry_after_ms.unwrap())).await;
            }
        });
        entered.await.expect("the lock ends");
    }
}

#[tokio::test]
async fn a_logout_forgets_the_key_and_keeps_the_device() {
    let world = World::classic("").await;
    let mut yoda = world.user("yoda").await;
    let mut device = yoda.device.clone();
    log_out(&mut yoda).await;
    let mut by_key = Client::connect_as(&world, device.clone()).await;
    assert_eq!(code(by_key.by_key("yoda").await), Code::WRONG_CREDENTIALS);
    // Over and over: the account never has more than this one device.
    for _ in 0..10 {
        device = device.renewed();
        let mut again = Client::connect_as(&world, device.clone()).await;
        again.login("yoda", PASSWORD).await.unwrap();
        again.hello().await;
        log_out(&mut again).await;
    }
    device = device.renewed();
    let mut last = Client::connect_as(&world, device.clone()).await;
    last.login("yoda", PASSWORD).await.unwrap();
    last.hello().await;
    drop(last);
    let mut lost = Client::connect_as(&world, device).await;
    lost.by_key("yoda").await.expect("a lost link forgets nothing");
}

#[tokio::test]
async fn by_default_a_logout_forgets_nothing() {
    let world = World::start().await;
    let mut alice = world.user("alice").await;
    log_out(&mut alice).await;
    let mut by_key = Client::connect_as(&world, alice.device.clone()).await;
    by_key.by_key("alice").await.expect("an enrolled device stays enrolled");
}

#[tokio::test]
async fn the_idle_are_logged_out_and_only_what_they_do_saves_them() {
    let world = World::classic("sessions = { idle_after = \"2s\" }").await;
    let (mut yoda, mut luke, mut han) = (world.user("yoda").await, world.user("luke").await, world.user("han").await);
    let device = yoda.device.clone();
    let receiver = tokio::spawn(async move { answer_pings(&mut yoda).await });
    let babbler = tokio::spawn(async move {
        loop {
            // Unknown methods, keep-alives and the list of the blocked are no activity.
            for name in [*b"NONS", method::PING, method::BLOCKED] {
                han.link.queue(&Frame::new(name, 7, &wire::Empty {}));
            }
            match han.frame().await {
                Ok(Some(frame)) if frame.name == status::END => {
                    return Some(Code(wire::Bye::decode(frame.body).unwrap().code));
                }
                Ok(Some(_)) => sleep(Duration::from_millis(5)).await,
                _ => return None,
            }
        }
    });
    while !receiver.is_finished() || !babbler.is_finished() {
        luke.text("yoda", "are you there?").await;
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(receiver.await.unwrap(), Some(Code::IDLE));
    assert_eq!(babbler.await.unwrap(), Some(Code::IDLE));
    let mut back = Client::connect_as(&world, device).await;
    assert_eq!(code(back.by_key("yoda").await), Code::WRONG_CREDENTIALS, "such a logout forgets the key too");
    // Private traffic passes the server by: the client tells of it, and that alone keeps luke.
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(3) {
        luke.ask::<wire::Empty>(method::ACTIVE, &wire::Empty {}).await.unwrap();
        sleep(Duration::from_millis(100)).await;
    }
    luke.barrier().await;
}

#[tokio::test]
async fn whoelsesince_reaches_back_to_the_start_or_beyond() {
    for (strict, expected) in [(true, vec![]), (false, vec!["luke".to_owned()])] {
        let mut world = if strict { World::classic("").await } else { World::start().await };
        log_out(&mut world.user("luke").await).await;
        let since = wire::PeopleQuery { after: String::new(), seconds: 100_000 };
        let names = |people: wire::People| people.items.into_iter().map(|p| p.account).collect::<Vec<_>>();
        let mut yoda = world.user("yoda").await;
        assert_eq!(names(yoda.ask(method::WHOELSESINCE, &since).await.unwrap()), ["luke"], "inside one run");
        world.restart().await;
        let mut yoda = Client::connect_as(&world, yoda.device.clone()).await;
        yoda.by_key("yoda").await.unwrap();
        yoda.hello().await;
        assert_eq!(names(yoda.ask(method::WHOELSESINCE, &since).await.unwrap()), expected);
    }
}

#[tokio::test]
async fn a_broadcast_tells_that_somebody_online_was_missed_or_keeps_silent() {
    for strict in [true, false] {
        let world = if strict { World::classic("").await } else { World::start().await };
        let (mut yoda, mut luke, _han) = (world.user("yoda").await, world.user("luke").await, world.user("han").await);
        let block = wire::Account { account: "yoda".into() };
        luke.ask::<wire::BlockChanged>(method::BLOCK, &block).await.unwrap();
        let run = yoda.text("", "all of you").await;
        assert_eq!((run.audience, run.missed), (1, strict));
        // An offline blocker causes no notice.
        log_out(&mut luke).await;
        let run = yoda.text("", "again").await;
        assert_eq!((run.audience, run.missed), (1, false));
    }
}

#[tokio::test]
async fn of_two_logins_at_once_one_wins() {
    let world = World::classic("").await;
    log_out(&mut world.user("yoda").await).await;
    let devices = [Device::new(), Device::new()];
    for race in 0..20 {
        let mut one = Client::connect_as(&world, devices[0].clone()).await;
        let mut two = Client::connect_as(&world, devices[1].clone()).await;
        let (a, b) = tokio::join!(one.login("yoda", PASSWORD), two.login("yoda", PASSWORD));
        a.and(b).expect("both know the password");
        // The winner answers PINGs, so that a probe finds it alive, until the other one was refused.
        let refused = Notify::new();
        let enter = async |client: &mut Client| {
            let entered = client.hello_from(None).await;
            if entered.is_ok() {
                tokio::select! {
                    end = answer_pings(client) => panic!("the winner's session stays open: {end:?}"),
                    () = refused.notified() => client.barrier().await,
                }
            } else {
                refused.notify_one();
            }
            entered
        };
        let (a, b) = tokio::join!(enter(&mut one), enter(&mut two));
        let (mut winner, refused) = match (a, b) {
            (Ok(()), refused) => (one, refused),
            (refused, Ok(())) => (two, refused),
            both => panic!("race {race}: {both:?}"),
        };
        assert_eq!(code(refused), Code::ALREADY_LOGGED_IN, "race {race}");
        log_out(&mut winner).await;
    }
}

#[tokio::test]
async fn a_half_dead_session_is_found_silent_once_and_makes_way() {
    let world = World::classic("").await;
    let mut silent = world.user("yoda").await;
    let mut next = Client::connect(&world).await;
    assert_eq!(next.name("yoda").await.unwrap().state, KNOWN);
    next.login("yoda", PASSWORD).await.unwrap();
    next.hello().await;
    let (mut asked, mut end) = (0, None);
    while let Ok(Some(frame)) = silent.frame().await {
        asked += usize::from(frame.name == method::PING);
        if frame.name == status::END {
            end = Some(Code(wire::Bye::decode(frame.body).unwrap().code));
        }
    }
    assert_eq!((asked, end), (1, Some(Code::REPLACED)), "asked for the name, not again at HELLO");
}

#[tokio::test]
async fn the_credentials_file_makes_accounts_and_takes_new_ones() {
    let mut world = World::classic("").await;
    let file = world.config().credentials.clone().unwrap();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "made at the first start");
    world.stop().await;
    fs::write(&file, "\u{feff}yoda wise@!man\r\nluke light==saber\r\nr2d2\r\nhan  two  blanks ").unwrap();
    world.restart().await;
    for (name, password) in [("yoda", "wise@!man"), ("luke", "light==saber"), ("han", " two  blanks ")] {
        let mut client = Client::connect(&world).await;
        assert_eq!(client.name(name).await.unwrap().state, KNOWN);
        assert_eq!(code(client.login(name, "wrong").await), Code::WRONG_CREDENTIALS);
        client.login(name, password).await.unwrap();
        client.hello().await;
        log_out(&mut client).await;
    }
    let mut leia = Client::connect(&world).await;
    assert_eq!(leia.name("r2d2").await.unwrap().state, UNKNOWN, "a bad line is left out");
    for bad in ["two\nlines", "a\r", "\0"] {
        assert_eq!(code(leia.register("leia", bad).await), Code::BAD_PASSWORD);
    }
    leia.register("leia", "a b  c").await.unwrap();
    leia.hello().await;
    let now = fs::read_to_string(&file).unwrap();
    assert!(now.ends_with("r2d2\r\nhan  two  blanks \r\nleia a b  c\r\n"), "{now:?}");
    assert_eq!(code(Client::connect(&world).await.register("leia", "x").await), Code::NAME_TAKEN);
    assert_eq!(fs::read_to_string(&file).unwrap(), now);
    // The operator changes a password and adds a user by hand; the file has the last word.
    world.stop().await;
    fs::write(&file, now.replace("wise@!man", "new one") + "chewie roar").unwrap();
    world.restart().await;
    for (name, password) in [("yoda", "new one"), ("chewie", "roar"), ("leia", "a b  c")] {
        Client::connect(&world).await.login(name, password).await.unwrap();
    }
    assert_eq!(code(Client::connect(&world).await.login("yoda", "wise@!man").await), Code::WRONG_CREDENTIALS);
    world.stop().await;
    let database = fs::read(world.config().data.join("chat-server.db")).unwrap();
    let holds = |text: &str| database.windows(text.len()).any(|part| part == text.as_bytes());
    assert!(holds("chewie") && !holds("light==saber"), "the database has names and hashes");
}

#[tokio::test]
async fn sign_ups_of_one_name_at_once_leave_one_line() {
    let world = World::classic("").await;
    for name in ["yoda", "luke", "han", "leia", "chewie"] {
        let (mut one, mut two) = (Client::connect(&world).await, Client::connect(&world).await);
        let (a, b) = tokio::join!(one.register(name, "first"), two.register(name, "second"));
        let password = match (a, b) {
            (Ok(()), Err(fault)) if fault.code == Code::NAME_TAKEN => "first",
            (Err(fault), Ok(())) if fault.code == Code::NAME_TAKEN => "second",
            both => panic!("{name}: {both:?}"),
        };
        let file = fs::read_to_string(world.config().credentials.as_ref().unwrap()).unwrap();
        assert!(file.ends_with(&format!("{name} {password}\n")), "{file:?}");
        assert_eq!(file.matches(name).count(), 1);
    }
}
