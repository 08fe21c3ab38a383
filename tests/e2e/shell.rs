//! `chatctl shell`: the exercise's words as they are typed, over pipes and on a terminal (mission A1-A10), in the default profile and
//! in the classic one, and the faults that other programs of the exercise had.

use std::sync::Arc;

use chat_tests::shell::{Piped, Seated};
use chat_tests::world::PASSWORD;
use chat_tests::{Home, World};

/// A password as the exercise's credentials file has them.
const ODD: &str = "wise@!man";

fn shells(homes: &[Arc<Home>]) -> Vec<Piped> {
    homes.iter().map(|home| open(home)).collect()
}

/// A shell that takes lines: it follows what happens from here on.
fn open(home: &Home) -> Piped {
    let mut shell = Piped::start(home, &[]);
    assert_eq!(shell.answers(""), Vec::<String>::new());
    shell
}

fn five(world: &mut World) -> Vec<Arc<Home>> {
    ["hans", "yoda", "luke", "leia", "vader"].iter().map(|name| world.user(name)).collect()
}

/// A home without an account whose shell knows where the server is.
fn stranger(world: &mut World, name: &str) -> (Arc<Home>, Vec<String>) {
    let home = world.home(name, &format!("{name}-stranger"));
    let (server, key) = (world.server.address().to_string(), world.server.fingerprint().to_owned());
    (home, vec!["--server".to_owned(), server, "--trust".to_owned(), key])
}

/// A shell in an empty home that has signed up.
fn signed_up(world: &mut World, name: &str, password: &str) -> (Arc<Home>, Piped) {
    let (home, args) = stranger(world, name);
    let mut shell = start(&home, &args);
    shell.types(name);
    shell.says("Sign up with this name, enter y or n:");
    shell.types("y");
    shell.types(password);
    shell.says(&format!("Logged in as {name}"));
    (home, shell)
}

fn start(home: &Home, args: &[String]) -> Piped {
    Piped::start(home, &args.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn a1_log_out_and_in_again() {
    let mut world = World::start();
    let file = world.file("odd", format!("{ODD}\n").as_bytes());
    let yoda = world.home("yoda", "yoda");
    world.register(&yoda, &["--password-file", &file]).ok();
    let mut first = open(&yoda);
    first.types("logout");
    first.says("Logged out yoda.");
    assert_eq!(first.ended().1, 0);
    // name and password are the first two lines
    let mut second = Piped::start(&yoda, &[]);
    second.types("yoda");
    second.types(ODD);
    second.says("Logged in as yoda");
    assert_eq!(second.answers("whoelse"), Vec::<String>::new());
    assert_eq!(second.ends().1, 0);
    // the end of the input is no logout
    assert_eq!(yoda.link(), "online");
}

#[test]
fn a2_three_wrong_passwords_lock_and_end_the_session() {
    let mut world = World::with(&[("auth", "lockout_duration", "\"10m\"")]);
    let _yoda = world.user("yoda");
    let (home, args) = stranger(&mut world, "yoda");
    let mut shell = start(&home, &args);
    shell.types("yoda");
    for _ in 0..2 {
        shell.types("wrong");
        shell.shows("Error: wrong name or password.");
    }
    shell.types("wrong");
    // the right one during the lock is refused too
    shell.types(PASSWORD);
    shell.says("too many wrong passwords");
    assert_eq!(shell.ended().1, 13);
    let mut second = start(&home, &args);
    second.types("yoda");
    second.types(PASSWORD);
    second.says("too many wrong passwords");
    assert_eq!(second.ended().1, 13);
    world.server.ctl(&["user", "unlock", "yoda"]).ok();
    let mut later = start(&home, &args);
    later.types("yoda");
    later.types(PASSWORD);
    later.says("Logged in as yoda");
    assert_eq!(later.ends().1, 0);
}

#[test]
fn a3_an_active_name_is_refused_and_another_may_be_typed() {
    let mut world = World::with(&[("sessions", "policy", "\"refuse\"")]);
    let (_hans, luke) = (world.user("hans"), world.user("luke"));
    luke.run(&["logout"]).ok();
    let (home, args) = stranger(&mut world, "luke");
    let mut shell = start(&home, &args);
    for line in ["hans", PASSWORD] {
        shell.types(line);
    }
    shell.says("active on another device");
    for line in ["luke", PASSWORD] {
        shell.types(line);
    }
    shell.says("Logged in as luke");
    assert_eq!(shell.answers("whoelse"), ["hans"]);
}

#[test]
fn a1_classic_sign_up_log_out_and_in_again() {
    let mut world = World::classic(&[]);
    let (home, mut shell) = signed_up(&mut world, "yoda", ODD);
    let file = std::fs::read_to_string(world.server.dir().join("credentials.txt")).expect("a file of credentials");
    assert_eq!(file.lines().last(), Some("yoda wise@!man"));
    shell.types("logout");
    shell.says("Logged out yoda.");
    assert_eq!(shell.ended().1, 0);
    let mut again = Piped::start(&home, &[]);
    for line in ["yoda", "wise@!", ODD] {
        again.types(line);
    }
    again.shows("Error: wrong name or password.");
    again.says("Logged in as yoda");
    // "Yoda" is somebody else; no is no, and nothing but y and n settles it
    let (other, args) = stranger(&mut world, "Yoda");
    let mut shell = start(&other, &args);
    for line in ["Yoda", "yes", "n", "Yoda", "y", "light==saber"] {
        shell.types(line);
    }
    shell.shows("Please enter y or n.");
    shell.says("Logged in as Yoda");
    assert_eq!(shell.answers("whoelse"), ["yoda"]);
    again.shows("Yoda logged in");
}

#[test]
fn a2_classic_three_wrong_passwords_lock_the_name_from_everywhere() {
    let mut world = World::classic(&[("auth", "lockout_duration", "\"10m\"")]);
    world.user("luke").run(&["logout"]).ok();
    let (home, args) = stranger(&mut world, "luke");
    let mut shell = start(&home, &args);
    for line in ["luke", "wrong", "wrong", "wrong", PASSWORD] {
        shell.types(line);
    }
    shell.says("too many wrong passwords");
    assert_eq!(shell.ended().1, 13);
    let second = world.home("luke", "luke-second");
    let mut shell = start(&second, &args);
    for line in ["luke", PASSWORD] {
        shell.types(line);
    }
    shell.says("too many wrong passwords");
    assert_eq!(shell.ended().1, 13);
    world.server.ctl(&["user", "unlock", "luke"]).ok();
    let mut later = start(&second, &args);
    for line in ["luke", PASSWORD] {
        later.types(line);
    }
    later.says("Logged in as luke");
    assert_eq!(later.ends().1, 0);
}

#[test]
fn a3_classic_an_active_name_is_refused_before_the_password() {
    let mut world = World::classic(&[]);
    let (_hans, luke) = (world.user("hans"), world.user("luke"));
    luke.run(&["logout"]).ok();
    let (home, args) = stranger(&mut world, "luke");
    let mut shell = start(&home, &args);
    for line in ["hans", "luke", PASSWORD] {
        shell.types(line);
    }
    shell.says("active on another device");
    shell.says("Logged in as luke");
    assert_eq!(shell.answers("whoelse"), ["hans"]);
    // the same at a terminal
    world.user("leia").run(&["logout"]).ok();
    let (home, args) = stranger(&mut world, "leia");
    let mut seated = Seated::start(&home, &args.iter().map(String::as_str).collect::<Vec<_>>(), &[]);
    seated.ends_with("Username:");
    seated.types("hans");
    seated.shows("Error: the account is active on another device.");
    seated.ends_with("Username:");
    seated.types("leia");
    seated.asks_secretly("Password:");
    seated.types(PASSWORD);
    seated.ends_with("leia>");
}

#[test]
fn names_and_passwords_of_a_credentials_file_with_odd_characters() {
    use std::os::unix::fs::PermissionsExt;
    let mut world = World::classic(&[]);
    world.server.kill();
    let file = world.server.dir().join("credentials.txt");
    std::fs::write(&file, "yoda wise@!man\nluke light==saber\nr2-d2 a  b \nobi-wan \"'$HOME`\\").expect("a file");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("our file");
    world.server.up();
    for (name, password) in [("yoda", ODD), ("luke", "light==saber"), ("r2-d2", "a  b "), ("obi-wan", "\"'$HOME`\\")] {
        let (home, args) = stranger(&mut world, name);
        let mut shell = start(&home, &args);
        shell.types(name);
        shell.types(password);
        shell.says(&format!("Logged in as {name}"));
        assert_eq!(shell.ends().1, 0);
    }
    let (home, args) = stranger(&mut world, "han");
    let mut seated = Seated::start(&home, &args.iter().map(String::as_str).collect::<Vec<_>>(), &[]);
    seated.ends_with("Username:");
    seated.types("han");
    seated.ends_with("Nobody is called han here yet. Sign up with this name, enter y or n:");
    seated.types("y");
    for again in ["x", "never shot first"] {
        seated.asks_secretly("Password:");
        seated.types("never shot first");
        seated.asks_secretly("Again:");
        seated.types(again);
    }
    seated.ends_with("han>");
    seated.types("message yoda hi");
    seated.types("quit");
    assert_eq!(seated.ended(), 0);
    assert!(!seated.raw().contains("shot"), "a password was shown");
    let text = std::fs::read_to_string(&file).expect("the file");
    assert_eq!(text.lines().last(), Some("han never shot first"));
}

#[test]
fn a4_presence_goes_to_all_but_the_subject() {
    a4(World::start());
}

#[test]
fn a4_classic_presence_goes_to_all_but_the_subject() {
    a4(World::classic(&[]));
}

fn a4(mut world: World) {
    let homes = five(&mut world);
    let mut shells = shells(&homes);
    let first = shells.remove(0);
    let mut hans = first;
    hans.types("logout");
    assert_eq!(hans.ended().1, 0);
    for shell in &mut shells {
        shell.shows("hans logged out");
    }
    let mut hans = Piped::start(&homes[0], &[]);
    hans.types("hans");
    hans.types(PASSWORD);
    for shell in &mut shells {
        shell.shows("hans logged in");
    }
    assert!(hans.all().iter().all(|line| !line.starts_with("hans logged")), "{:?}", hans.all());
    // a sign-up is announced like a login
    world.user("rey");
    for shell in shells.iter_mut().chain([&mut hans]) {
        shell.shows("rey logged in");
    }
}

#[test]
fn a5_whoelse_and_invalid_commands() {
    a5(World::start());
}

#[test]
fn a5_classic_whoelse_and_invalid_commands() {
    a5(World::classic(&[]));
}

fn a5(mut world: World) {
    let homes = five(&mut world);
    let mut shell = open(&homes[0]);
    assert_eq!(shell.answers("whoelse"), ["leia", "luke", "vader", "yoda"]);
    for line in
        ["nonsense", "Whoelse", "message_all hi", "\u{7}\u{1b}[2J", "\u{feff}whoelse", "y", "n", "message: hans hi"]
    {
        assert_eq!(shell.answers(line), ["Error. Invalid command"], "{line:?}");
    }
    assert_eq!(shell.answers("message"), ["Error. The form is: message USER TEXT"]);
    assert_eq!(shell.answers("whoelse luke"), ["Error. The form is: whoelse"]);
    assert_eq!(shell.answers("  whoelse \t"), ["leia", "luke", "vader", "yoda"]);
    assert_eq!(
        shell.answers("read --nonsense"),
        [
            "Error: unexpected argument '--nonsense' found",
            "Error. The form is: read [USER] [-n N] [--unread] [--since T]"
        ]
    );
    assert_eq!(shell.ends().1, 0);
}

#[test]
fn a6_whoelsesince_sees_leavers_inside_the_window_only() {
    a6(World::start());
}

#[test]
fn a6_classic_whoelsesince_sees_leavers_inside_the_window_only() {
    a6(World::classic(&[]));
}

fn a6(mut world: World) {
    let homes = five(&mut world);
    let mut shell = open(&homes[0]);
    homes[1].run(&["logout"]).ok();
    shell.shows("yoda logged out");
    assert_eq!(shell.answers("whoelsesince 200"), ["leia", "luke", "vader", "yoda"]);
    assert_eq!(shell.answers("whoelsesince 3d"), ["leia", "luke", "vader", "yoda"]);
    chat_tests::process::until("yoda is out of a window of one second", || {
        (shell.answers("whoelsesince 1") == ["leia", "luke", "vader"]).then_some(())
    });
    for line in ["whoelsesince", "whoelsesince -5", "whoelsesince soon", "whoelsesince 1 2"] {
        assert_eq!(shell.answers(line), ["Error. The form is: whoelsesince SECONDS"], "{line}");
    }
}

#[test]
fn a7_inactivity_ends_the_session_and_says_why() {
    a7(World::with(&[("sessions", "idle", "\"logout\""), ("sessions", "idle_after", "\"12s\"")]));
}

#[test]
fn a7_classic_inactivity_ends_the_session_and_says_why() {
    a7(World::classic(&[("sessions", "idle_after", "\"12s\"")]));
}

fn a7(mut world: World) {
    let (hans, yoda) = (world.user("hans"), world.user("yoda"));
    let mut active = open(&yoda);
    let mut silent = open(&hans);
    let mut seated = Seated::start(&hans, &[], &[]);
    seated.ends_with("hans>");
    seated.keys("half a line");
    seated.ends_with("hans> half a line");
    // neither what comes nor nonsense saves it, and what the other one does keeps him there
    chat_tests::process::until("hans is logged out", || {
        silent.types("nonsense");
        active.answers("message hans are you there?").first().map(|_| ())
    });
    active.shows("hans logged out");
    let (lines, code) = silent.ended();
    assert_eq!(code, 4, "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("without activity")), "{lines:?}");
    assert_eq!(seated.ended(), 4);
    assert!(seated.is_as_before(), "the terminal is not as it was before");
    assert!(seated.raw().contains("without activity"), "{}", seated.raw());
}

#[test]
fn a8_messages_to_everyone_and_no_one() {
    a8(World::start());
}

#[test]
fn a8_classic_messages_to_everyone_and_no_one() {
    a8(World::classic(&[]));
}

fn a8(mut world: World) {
    let (hans, yoda) = (world.user("hans"), world.user("yoda"));
    let (mut from, mut to) = (open(&hans), open(&yoda));
    assert_eq!(from.answers("message yoda Hey Dude"), Vec::<String>::new());
    to.shows("hans: Hey Dude");
    assert_eq!(from.answers("message nobody hi"), ["Error. Invalid user"]);
    assert_eq!(from.answers("message hans hi"), ["Error. Cannot message self"]);
    // someone offline gets them at the next login, in order, once
    to.types("logout");
    assert_eq!(to.ended().1, 0);
    from.shows("yoda logged out");
    for text in ["one", "two", "three"] {
        assert_eq!(from.answers(&format!("message yoda {text}")), ["yoda is offline and gets it at the next login."]);
    }
    for expected in [&["hans: one", "hans: two", "hans: three"][..], &[]] {
        let mut again = Piped::start(&yoda, &[]);
        if yoda.link() != "online" {
            again.types("yoda");
            again.types(PASSWORD);
        }
        let lines = again.all().to_vec();
        let got: Vec<&str> = lines.iter().map(String::as_str).filter(|line| line.starts_with("hans: ")).collect();
        assert_eq!(got, expected);
    }
    assert_eq!(yoda.json(&["unread"]).ok().json()["total"], 0);
}

#[test]
fn a9_a_broadcast_reaches_those_online() {
    a9(World::start(), false);
}

#[test]
fn a9_classic_a_broadcast_reaches_those_online() {
    a9(World::classic(&[]), true);
}

fn a9(mut world: World, classic: bool) {
    let homes = five(&mut world);
    let mut shells = shells(&homes);
    let mut vader = shells.pop().expect("five");
    homes[3].run(&["logout"]).ok();
    shells.truncate(3);
    vader.shows("leia logged out");
    assert_eq!(vader.answers("broadcast I am  your ruler"), Vec::<String>::new());
    for shell in &mut shells {
        shell.shows(if classic { "vader: I am  your ruler" } else { "vader to all: I am  your ruler" });
    }
    // never kept for those who are offline
    let mut leia = Piped::start(&homes[3], &[]);
    leia.types("leia");
    leia.types(PASSWORD);
    vader.shows("leia logged in");
    assert!(leia.all().iter().all(|line| !line.contains("ruler")), "{:?}", leia.all());
    // an offline blocker causes no notice, one who is online does so in the classic profile alone
    assert_eq!(leia.answers("block vader"), ["vader is blocked"]);
    let missed = vader.answers("broadcast again");
    let notice = "Your message could not be delivered to some recipients";
    assert_eq!(missed, if classic { vec![notice] } else { Vec::new() });
    leia.types("logout");
    assert!(leia.ended().0.iter().all(|line| !line.contains("again")));
    assert_eq!(vader.answers("broadcast once more"), Vec::<String>::new());
}

#[test]
fn a10_all_effects_of_a_block_and_their_end() {
    a10(World::start(), false);
}

#[test]
fn a10_classic_all_effects_of_a_block_and_their_end() {
    a10(World::classic(&[]), true);
}

fn a10(mut world: World, classic: bool) {
    let (hans, yoda, luke) = (world.user("hans"), world.user("yoda"), world.user("luke"));
    let (mut hanss, mut yodas, mut lukes) = (open(&hans), open(&yoda), open(&luke));
    assert_eq!(yodas.answers("block hans"), ["hans is blocked"]);
    assert_eq!(yodas.answers("block hans"), ["hans is already blocked"]);
    assert_eq!(yodas.answers("blocked"), ["hans"]);
    let refused = "Your message could not be delivered as the recipient has blocked you";
    assert_eq!(hanss.answers("message yoda hm?"), [refused]);
    assert_eq!(hanss.answers("whoelse"), ["luke"]);
    assert_eq!(hanss.answers("whoelsesince 1000"), ["luke"]);
    let missed = "Your message could not be delivered to some recipients";
    assert_eq!(hanss.answers("broadcast hello"), if classic { vec![missed] } else { Vec::new() });
    lukes.shows(if classic { "hans: hello" } else { "hans to all: hello" });
    // notices of the first logins may have come late, but before this
    let before = hanss.all().len();
    yodas.types("logout");
    assert!(!yodas.ended().0.iter().any(|line| line.contains("hello")));
    lukes.shows("yoda logged out");
    assert_eq!(hanss.answers("message yoda hm?"), [refused]);
    let mut yodas = Piped::start(&yoda, &[]);
    yodas.types("yoda");
    yodas.types(PASSWORD);
    lukes.shows("yoda logged in");
    assert_eq!(
        yodas.answers("block yoda"),
        [
            "Logged in as yoda on ".to_owned() + &world.server.address().to_string() + ".",
            "Error. Cannot block self".to_owned()
        ]
    );
    assert_eq!(yodas.answers("unblock luke"), ["Error. luke was not blocked"]);
    assert_eq!(yodas.answers("unblock nobody"), ["Error. Invalid user"]);
    assert_eq!(yodas.answers("unblock yoda"), ["Error. Cannot unblock self"]);
    // the other way is open
    assert_eq!(yodas.answers("message hans you may hear me"), Vec::<String>::new());
    hanss.shows("yoda: you may hear me");
    let later = hanss.all().get(before..).unwrap_or_default();
    assert!(!later.iter().any(|line| line.starts_with("yoda logged")), "{later:?}");
    // and all again
    assert_eq!(yodas.answers("unblock hans"), ["hans is unblocked"]);
    assert_eq!(hanss.answers("message yoda back"), Vec::<String>::new());
    yodas.shows("hans: back");
    assert_eq!(hanss.answers("whoelse"), ["luke", "yoda"]);
    assert_eq!(hanss.answers("whoelsesince 1000"), ["luke", "yoda"]);
    yodas.types("logout");
    hanss.shows("yoda logged out");
}

#[test]
fn private_words_have_their_forms() {
    let mut world = World::start();
    let hans = world.user("hans");
    let mut shell = open(&hans);
    for word in ["startprivate", "stopprivate", "accept", "decline"] {
        assert_eq!(shell.answers(word), [format!("Error. The form is: {word} USER")]);
        assert_eq!(shell.answers(&format!("{word} luke now")), [format!("Error. The form is: {word} USER")]);
    }
    assert_eq!(shell.answers("private luke"), ["Error. The form is: private USER TEXT"]);
}

#[test]
fn five_talk_at_once_and_nothing_is_lost_doubled_merged_or_split() {
    five_talk(World::start());
}

#[test]
fn five_talk_at_once_in_the_classic_profile() {
    five_talk(World::classic(&[]));
}

fn five_talk(mut world: World) {
    const EACH: usize = 20;
    let homes = five(&mut world);
    let mut shells = shells(&homes);
    for number in 0..EACH {
        for (at, shell) in shells.iter_mut().enumerate() {
            let to = homes[(at + 1) % homes.len()].user();
            shell.types(&format!("message {to} number  {number} {}", "x".repeat(number * 300)));
        }
    }
    for (at, shell) in shells.iter_mut().enumerate() {
        let from = homes[(at + homes.len() - 1) % homes.len()].user().to_owned();
        for number in 0..EACH {
            shell.shows(&format!("{from}: number  {number} {}", "x".repeat(number * 300)));
        }
        let count = shell.all().iter().filter(|line| line.starts_with(&format!("{from}: "))).count();
        assert_eq!(count, EACH, "of {from}");
    }
}

#[test]
fn fault_texts_were_broken_at_blanks() {
    let mut world = World::start();
    let (hans, yoda) = (world.user("hans"), world.user("yoda"));
    let (mut from, mut to) = (open(&hans), open(&yoda));
    for text in [
        "  two  blanks  ",
        "a\ttab",
        "tr\u{e4}nen \u{1f600}",
        "-f --id x",
        "\"quoted\" 'too' $HOME `x`",
        "message yoda hi",
    ] {
        assert_eq!(from.answers(&format!("message yoda {text}")), Vec::<String>::new());
        to.says(&format!("hans: {text}"));
    }
    assert_eq!(yoda.received()[0], "  two  blanks  ");
}

#[test]
fn fault_whoelse_was_confused_with_whoelsesince() {
    let mut world = World::start();
    let (hans, yoda) = (world.user("hans"), world.user("yoda"));
    let mut shell = open(&hans);
    yoda.run(&["logout"]).ok();
    shell.shows("yoda logged out");
    assert_eq!(shell.answers("whoelse"), Vec::<String>::new());
    assert_eq!(shell.answers("whoelsesince 100"), ["yoda"]);
    assert_eq!(shell.answers("whoelsesince100"), ["Error. Invalid command"]);
    assert_eq!(shell.answers("whoelse 100"), ["Error. The form is: whoelse"]);
}

#[test]
fn fault_offline_storage_was_decided_before_the_block_list() {
    let mut world = World::start();
    let (hans, yoda) = (world.user("hans"), world.user("yoda"));
    yoda.run(&["block", "hans"]).ok();
    yoda.run(&["logout"]).ok();
    let mut shell = open(&hans);
    let refused = "Your message could not be delivered as the recipient has blocked you";
    assert_eq!(shell.answers("message yoda hm?"), [refused]);
    yoda.run(&["login"]).ok();
    yoda.run(&["unblock", "hans"]).ok();
    shell.types("message yoda now");
    yoda.gets(&["now"]);
}

#[test]
fn fault_offline_blockers_caused_a_notice_of_a_partial_broadcast() {
    let mut world = World::start();
    let (hans, yoda, luke) = (world.user("hans"), world.user("yoda"), world.user("luke"));
    yoda.run(&["block", "hans"]).ok();
    yoda.run(&["logout"]).ok();
    let mut shell = open(&hans);
    assert_eq!(shell.answers("broadcast hello"), Vec::<String>::new());
    luke.gets(&["hello"]);
}

#[test]
fn fault_a_y_or_n_had_to_be_typed_twice_and_swallowed_commands() {
    let mut world = World::start();
    let (hans, _yoda) = (world.user("hans"), world.user("yoda"));
    let mut shell = open(&hans);
    world.server.kill();
    shell.says("The link to the server is lost");
    shell.types("message yoda kept");
    shell.says("the message is kept, and will go out.");
    let question = "1 unsent; they go out at the next login. Log out, enter y or n:";
    shell.types("logout");
    shell.shows(question);
    // anything else is an ordinary command, and the question stays open
    assert_eq!(shell.answers("yes"), ["Error. Invalid command"]);
    assert_eq!(shell.answers("unread"), ["0"]);
    assert_eq!(shell.answers("n"), Vec::<String>::new());
    assert_eq!(shell.answers("y"), ["Error. Invalid command"]);
    shell.types("logout");
    shell.shows(question);
    shell.types("y");
    shell.says("Logged out hans. 1 unsent message kept for the next login.");
    assert_eq!(shell.ended().1, 0);
}

#[test]
fn the_link_and_chatd_may_go_and_come_back() {
    let mut world = World::start();
    let (hans, yoda) = (world.user("hans"), world.user("yoda"));
    let mut shell = open(&hans);
    hans.kill();
    shell.shows("chatd went away; waiting for it.");
    yoda.sends("hans", "meanwhile");
    hans.up();
    shell.shows("chatd is back.");
    shell.shows("yoda: meanwhile");
    hans.online();
    shell.types("message yoda hi");
    yoda.gets(&["hi"]);
    world.server.kill();
    shell.says("The link to the server is lost");
    shell.types("message yoda later");
    shell.says("the message is kept, and will go out.");
    world.server.up();
    shell.shows("The server is back.");
    yoda.gets(&["hi", "later"]);
    world.server.kill();
    shell.says("The link to the server is lost");
    // the end says what is not well
    let (lines, code) = shell.ends();
    assert_eq!(code, 5, "{lines:?}");
    assert!(lines.iter().any(|line| line.starts_with("The server is not reachable")), "{lines:?}");
}

#[test]
fn what_is_no_line_is_refused_and_the_session_goes_on() {
    let mut world = World::start();
    let (hans, yoda) = (world.user("hans"), world.user("yoda"));
    let mut shell = open(&hans);
    shell.bytes(b"message yoda ab\xff\n");
    shell.shows("Error: the line is not UTF-8 (byte 15). Nothing was sent.");
    shell.types(&format!("message yoda {}", "x".repeat(65_537)));
    shell.says("a message holds 64 KiB");
    shell.types(&"x".repeat(200_000));
    shell.shows("Error: the line is too long; a message holds 64 KiB. Nothing was sent.");
    let full = "y".repeat(65_536);
    assert_eq!(shell.answers(&format!("message yoda {full}")), Vec::<String>::new());
    assert_eq!(shell.answers("message yoda \u{1b}]0;x\u{7}\u{202e}"), Vec::<String>::new());
    yoda.gets(&[&full, "\u{1b}]0;x\u{7}\u{202e}"]);
    // others' texts are shown, not obeyed
    let mut to = Piped::start(&yoda, &[]);
    to.shows(r"hans: \x1b]0;x\x07\u{202e}");
    let (lines, _) = to.ends();
    assert!(lines.iter().all(|line| !line.contains('\u{1b}')));
}

#[test]
fn nothing_is_asked_where_nobody_can_answer() {
    let mut world = World::start();
    let (home, args) = stranger(&mut world, "yoda");
    let mut all = vec!["shell"];
    all.extend(args.iter().map(String::as_str));
    home.pipe(&all, b"").ok();
    all.push("--no-input");
    home.pipe(&all, b"yoda\nx\n").exits(12).says("--password-file");
    home.pipe(&["shell"], b"yoda\nx\n").exits(4).says("next: chatctl help login");
    home.pipe(&["--json", "shell"], b"").exits(2);
    // an unknown key is no question for a script
    home.pipe(&["shell", "--server", &args[1]], b"yoda\nx\n").exits(11).says("--trust");
}

#[test]
fn notices_leave_the_line_that_is_typed_whole() {
    let mut world = World::start();
    let (hans, yoda) = (world.user("hans"), world.user("yoda"));
    let mut shell = Seated::start(&hans, &[], &[]);
    shell.ends_with("hans>");
    shell.keys("message yoda half a li");
    shell.ends_with("hans> message yoda half a li");
    yoda.sends("hans", "a notice\nof two lines \u{1b}[31m");
    shell.shows("yoda: a notice");
    shell.shows(r"  | of two lines \x1b[31m");
    shell.ends_with("hans> message yoda half a li");
    shell.types("ne");
    yoda.gets(&["half a line"]);
    // Ctrl-C clears the line, Tab completes words and names
    shell.keys("nonsense");
    shell.ends_with("hans> nonsense");
    shell.keys("\u{3}");
    shell.ends_with("hans>");
    shell.keys("mess\t");
    shell.ends_with("hans> message");
    shell.keys("yo\t");
    shell.ends_with("hans> message yoda");
    shell.keys("done\r");
    yoda.gets(&["half a line", "done"]);
    shell.resize(40, 20);
    shell.keys("message yoda a line that wraps");
    yoda.sends("hans", "again");
    shell.shows("yoda: again");
    shell.shows("hans> message yoda a");
    shell.ends_with(" line that wraps");
    shell.keys("\u{3}");
    shell.ends_with("hans>");
    shell.keys("\u{4}");
    assert_eq!(shell.ended(), 0);
    assert!(shell.is_as_before(), "the terminal is not as it was before");
    assert_eq!(hans.link(), "online");
}

#[test]
fn a_name_and_a_password_are_asked_for_at_the_terminal() {
    use std::os::unix::fs::PermissionsExt;
    let mut world = World::start();
    let _yoda = world.user("yoda");
    let (home, args) = stranger(&mut world, "yoda");
    let mut shell = Seated::start(&home, &args.iter().map(String::as_str).collect::<Vec<_>>(), &[]);
    shell.ends_with("Username:");
    shell.types("yoda");
    shell.asks_secretly("Password:");
    shell.types("wrong");
    shell.shows("Error: wrong name or password.");
    shell.asks_secretly("Password:");
    shell.types(PASSWORD);
    shell.ends_with("yoda>");
    shell.types("whoelse");
    shell.types(" secret of a line that begins with a blank");
    shell.types("private hans secret");
    shell.types("quit");
    assert_eq!(shell.ended(), 0);
    assert!(!shell.raw().contains(PASSWORD) && !shell.raw().contains("wrong\r"), "a password was shown");
    let file = home.dir().join("state/shell_history");
    let kept = std::fs::read_to_string(&file).expect("a history");
    assert!(kept.contains("whoelse") && !kept.contains("secret") && !kept.contains(PASSWORD), "{kept}");
    assert_eq!(std::fs::metadata(&file).expect("a history").permissions().mode() & 0o777, 0o600);
}

#[test]
fn pasted_lines_are_lines() {
    let mut world = World::start();
    let (hans, yoda) = (world.user("hans"), world.user("yoda"));
    let mut shell = Seated::start(&hans, &[], &[]);
    shell.ends_with("hans>");
    // as a terminal hands over a paste, and as one that does not know better
    shell.keys("\u{1b}[200~message yoda one\nmessage yoda two\u{1b}[201~\r");
    yoda.gets(&["one", "two"]);
    shell.keys("message yoda three\rmessage yoda four\rmessage yoda five\r");
    yoda.gets(&["one", "two", "three", "four", "five"]);
}

#[test]
fn a_simple_terminal_gets_plain_lines_and_no_color() {
    let mut world = World::start();
    let (hans, yoda) = (world.user("hans"), world.user("yoda"));
    let mut shell = Seated::start(&hans, &[], &[("TERM", "dumb")]);
    shell.ends_with("hans>");
    yoda.sends("hans", "a notice");
    shell.shows("yoda: a notice");
    shell.ends_with("hans>");
    shell.keys("whoelse\n");
    shell.shows("yoda");
    shell.ends_with("hans>");
    shell.keys("\u{4}");
    assert_eq!(shell.ended(), 0);
    assert!(!shell.raw().contains('\u{1b}'), "{:?}", shell.raw());
    let mut shell = Seated::start(&hans, &[], &[("NO_COLOR", "1")]);
    shell.ends_with("hans>");
    shell.types("nonsense");
    shell.shows("Error. Invalid command");
    shell.types("read");
    shell.ends_with("hans>");
    shell.types("quit");
    assert_eq!(shell.ended(), 0);
    let colors = shell.raw().split('\u{1b}').skip(1).any(|part| {
        part.starts_with('[')
            && part.trim_start_matches(|c: char| c == '[' || c == ';' || c.is_ascii_digit()).starts_with('m')
    });
    assert!(!colors, "{:?}", shell.raw());
}
