//! Names, passwords, and what belongs to others (S9, S10, S12, S17, S19, S24, S27).

use std::time::Duration;

use chat_proto::fault::Code;
use chat_proto::frame::Frame;
use chat_proto::{limits, method, wire};
use prost::Message as _;

use super::network::world_from;
use crate::client::{Client, Device, SOON, try_link};
use crate::world::{PASSWORD, World};

/// Frame by frame the same for a name that exists and one that does not, in each state.
#[tokio::test]
async fn s09_the_answers_to_known_and_unknown_names_are_equal() {
    let world = World::with("auth = { lockout_duration = \"1h\" }").await;
    world.user("alice").await;
    let mut heard = Vec::new();
    for name in ["alice", "absent"] {
        let mut stranger = Client::connect(&world).await;
        let mut frames = Vec::new();
        let tag = stranger.request(method::NAME, &wire::Name { account: name.into(), ..wire::Name::default() }).await;
        let named: wire::NameState = stranger.answer(tag).await.unwrap();
        frames.push(format!("{named:?}"));
        for _ in 0..4 {
            let fault = stranger.login(name, "wrong").await.unwrap_err();
            frames.push(format!("{} {}", fault.code.name(), fault.retry_after_ms.map_or(0, |ms| ms.div_ceil(60_000))));
        }
        frames.push(format!("{:?}", stranger.by_key(name).await.unwrap_err().code));
        heard.push(frames);
    }
    assert_eq!(heard[0], heard[1]);
}

#[tokio::test]
async fn s10_passwords_have_bounds() {
    let world = World::start().await;
    let mut stranger = Client::connect(&world).await;
    for password in [String::new(), "x".repeat(limits::PASSWORD_MAX + 1), "x".repeat(3000)] {
        assert_eq!(stranger.register("alice", &password).await.unwrap_err().code, Code::BAD_PASSWORD);
        assert_eq!(stranger.login("alice", &password).await.unwrap_err().code, Code::BAD_PASSWORD);
    }
    let longest = "\u{1f600}".repeat(limits::PASSWORD_MAX / 4);
    stranger.register("alice", &longest).await.unwrap();
    for method in [method::REGISTER, method::LOGIN] {
        let mut stranger = Client::connect(&world).await;
        let mut body = stranger.credentials("bob", PASSWORD).encode_to_vec();
        let at = body.windows(PASSWORD.len()).position(|part| part == PASSWORD.as_bytes()).unwrap();
        body[at..at + 2].copy_from_slice(b"\xff\xfe");
        stranger.link.queue(&Frame { name: method, tag: 1, body: body.into() });
        assert_eq!(stranger.end().await, Some(Code::PROTOCOL), "not UTF-8");
        // The same with two letters there.
        let mut control = Client::connect(&world).await;
        let ask = control.credentials("bob", PASSWORD);
        control.ask::<wire::LoggedIn>(method, &ask).await.unwrap();
    }
}

/// Sources that guessed wrong wait for their next guess at a name, a minute of them: its owner comes before them.
#[tokio::test(flavor = "multi_thread")]
async fn s12_a_crowd_that_guesses_does_not_keep_the_owner_out() {
    let world = World::start().await;
    world.user("victim").await;
    let mut crowd = Vec::new();
    for source in (2..).take(limits::HASHES_PER_NAME_AND_MINUTE as usize) {
        let from = world_from(source, &world).await;
        let guess = Client::connect(&from).await.login("victim", "wrong").await;
        assert_eq!(guess.unwrap_err().code, Code::WRONG_CREDENTIALS);
        crowd.push(from);
    }
    // All tries of this minute are taken: whoever asks now waits.
    let mut waiting = Vec::new();
    for from in &crowd {
        let mut guesser = Client::connect(from).await;
        guesser.request(method::LOGIN, &guesser.credentials("victim", "wrong")).await;
        waiting.push(guesser);
    }
    let mut owner = Client::connect(&world).await;
    owner.patience = limits::AUTH_WITHIN;
    owner.login("victim", PASSWORD).await.expect("the crowd waits behind the owner");
    owner.hello().await;
}

/// The wait for a turn is not the client's fault and does not count against it; but one that left has no place any more.
#[tokio::test(flavor = "multi_thread")]
async fn s12_who_waits_for_a_turn_is_not_cut_and_who_leaves_is_gone() {
    // The third try comes 30 seconds after the first: later than a login may take.
    let world = World::with("limits = { password_tries_per_minute_per_name = 2 }").await;
    let (elsewhere, crowd) = (world_from(2, &world).await, world_from(3, &world).await);
    world.user("victim").await;
    for _ in 0..2 {
        let guess = Client::connect(&elsewhere).await.login("victim", "wrong").await;
        assert_eq!(guess.unwrap_err().code, Code::WRONG_CREDENTIALS);
    }
    let mut owner = Client::connect(&world).await;
    owner.patience = 2 * Duration::from_secs(60);
    let tag = owner.request(method::LOGIN, &owner.credentials("victim", PASSWORD)).await;
    let mut leaving = Vec::new();
    for _ in 0..limits::STRANGERS_PER_SOURCE {
        let mut guesser = Client::connect(&crowd).await;
        guesser.request(method::LOGIN, &guesser.credentials("victim", "wrong")).await;
        leaving.push(guesser);
    }
    drop(leaving);
    let free = async {
        let mut held = Vec::new();
        while held.len() < limits::STRANGERS_PER_SOURCE {
            held.extend(try_link(&crowd).await.ok());
        }
    };
    tokio::time::timeout(SOON, free).await.expect("all places of the source are free again");
    owner.answer::<wire::LoggedIn>(tag).await.expect("it waited for its turn");
    owner.hello().await;
}

#[tokio::test]
async fn s17_s19_names_that_deceive_are_refused() {
    let world = World::start().await;
    let mut stranger = Client::connect(&world).await;
    let long = "a".repeat(limits::NAME_MAX + 1);
    let bad = [
        "",
        " ",
        "a b",
        "a\tb",
        "a\nb",
        "a\rb",
        "a\0b",
        "a\u{1b}[31mb",
        "\u{9b}31m",
        "\u{202e}bob",
        "bob\u{2066}",
        "a\u{2028}b",
        "a\u{2029}b",
        "a\u{200b}b",
        "b\u{f6}b",
        "\u{430}lice",
        ".bob",
        "-bob",
        "_bob",
        "bob!",
        "bob@home",
        "bob/..",
        "../bob",
        "b'ob",
        "\"bob\"",
        "bob;",
        "%s",
        &long,
    ];
    for name in bad.into_iter().chain(["admin", "ADMIN", "root", "system", "server", "nobody", "everyone", "all", "me"])
    {
        assert_eq!(stranger.register(name, PASSWORD).await.unwrap_err().code, Code::BAD_NAME, "{name:?}");
    }
    for name in ["0", "a.b_c-d", "Alice", &"z".repeat(limits::NAME_MAX)] {
        Client::connect(&world).await.register(name, PASSWORD).await.unwrap();
    }
    let again = Client::connect(&world).await.register("aLICE", PASSWORD).await;
    assert_eq!(again.unwrap_err().code, Code::NAME_TAKEN, "upper case makes no other name");
}

/// What means something to databases, formats and file systems is text here.
#[tokio::test]
async fn s24_metacharacters_are_plain_data() {
    let world = World::start().await;
    let (mut alice, mut bob) = (world.user("alice").await, world.user("bob").await);
    let texts = [
        "'; DROP TABLE account; --",
        "\" OR 1=1 --",
        "%s%n%x {0} {} $(id) `id`",
        "../../etc/passwd",
        "\0\u{1}",
        "?1 :name @x",
        "\\",
        "\u{feff}",
    ];
    for text in texts {
        assert_eq!(alice.text("bob", text).await.code, Code::ACCEPTED.0);
        assert_eq!(bob.read().await, ("alice".into(), text.into()));
        assert_eq!(alice.text(text, "to nobody").await.code, Code::UNKNOWN_USER.0, "{text:?}");
        let who = wire::Account { account: text.into() };
        for method in [method::BLOCK, method::UNBLOCK] {
            let refused = alice.ask::<wire::BlockChanged>(method, &who).await;
            assert_eq!(refused.unwrap_err().code, Code::UNKNOWN_USER);
        }
        let page = wire::PeopleQuery { after: text.into(), seconds: 100 };
        for method in [method::WHOELSE, method::WHOELSESINCE] {
            alice.ask::<wire::People>(method, &page).await.unwrap();
        }
    }
    let seen: wire::People = alice.ask(method::WHOELSE, &wire::PeopleQuery::default()).await.unwrap();
    assert_eq!(seen.items.len(), 1, "bob is still there");
}

/// A device, an inbox, a place of somebody else: one answer, whether it exists or not, and nothing happens.
#[tokio::test]
async fn s27_what_belongs_to_others_is_out_of_reach() {
    let world = World::start().await;
    let (mut alice, mut bob, mut eve) = (world.user("alice").await, world.user("bob").await, world.user("eve").await);
    for device in [bob.device.id, Device::new().id] {
        let ask = wire::Revoke { device_id: device.0.to_vec() };
        let refused = eve.ask::<wire::Empty>(method::REVOKE, &ask).await;
        assert_eq!(refused.unwrap_err().code, Code::UNKNOWN_DEVICE, "the same for bob's device and for none");
    }
    // Somebody else's device logs nobody in, nor does one's own under another name.
    let mut stranger = Client::connect_as(&world, eve.device.clone()).await;
    assert_eq!(stranger.by_key("bob").await.unwrap_err().code, Code::WRONG_CREDENTIALS);
    assert_eq!(stranger.by_key("absent").await.unwrap_err().code, Code::WRONG_CREDENTIALS);
    alice.text("bob", "for bob alone").await;
    let place = bob.delivery().await.position;
    // The place exists, and eve may ask from it on: what she gets is her own inbox.
    eve.link.queue(&Frame::new(method::FETCH, 0, &wire::Fetch { from: place }));
    eve.ack(place).await;
    assert_eq!(eve.end().await, Some(Code::PROTOCOL), "it was never given to her");
    bob.ack(place).await;
    bob.barrier().await;
    for name in ["SHUT", "USER", "ADMN"] {
        let method = name.as_bytes().first_chunk().copied().unwrap();
        assert_eq!(bob.ask::<wire::Empty>(method, &wire::Empty {}).await.unwrap_err().code, Code::UNSUPPORTED);
    }
}
