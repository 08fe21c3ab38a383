//! Real text: thousands of lines in many scripts arrive byte for byte, and nothing of it reaches a terminal raw (part of issue A8, rule 16).

use chat_tests::process::until;
use chat_tests::{Rng, World};

/// Lines in all.
const LINES: usize = 10_000;
/// Messages that carry them: many lines in one, so that the test is about text and not about processes.
const MESSAGES: usize = 100;

/// Words of many scripts, emoji with joiners and flags, right-to-left, combining marks, controls, bidi, odd spaces.
const PIECES: &[&str] = &[
    "lunch?",
    "Größe",
    "naïve",
    "žluťoučký",
    "ελληνικά",
    "Привет",
    "שלום",
    "مرحبا",
    "नमस्ते",
    "ไทย",
    "한국어",
    "日本語",
    "中文字",
    "አማርኛ",
    "ᚠᚢᚦ",
    "𐍈𐌰",
    "👩‍👩‍👧‍👦",
    "🏳️‍🌈",
    "🇩🇪",
    "1️⃣",
    "e\u{301}",
    "a\u{308}\u{323}",
    "\u{200f}rtl\u{200e}",
    "\u{202e}over\u{202c}",
    "\u{2066}iso\u{2069}",
    "\u{feff}bom",
    "zero\u{200b}width",
    "nb\u{a0}sp",
    "tab\tbed",
    "\u{1b}[31mred\u{1b}[0m",
    "\u{1b}]0;title\u{7}",
    "\u{7f}del",
    "\u{85}nel",
    "\u{9b}csi",
    "bell\u{7}",
    "back\u{8}space",
    "cr\rreturn",
    "nul\u{0}byte",
    "\\n",
    "\"quoted\"",
    "{\"v\":1}",
    "$(rm)",
    "`x`",
    "%s%n",
    "  two  blanks  ",
    "\u{10ffff}",
    "\u{fdd0}",
    "\u{e000}",
    "ﷺ",
    "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢",
];

fn line(rng: &mut Rng) -> String {
    let words = rng.below(8);
    (0..words).map(|_| *rng.pick(PIECES)).collect::<Vec<_>>().join(" ")
}

/// What is sent as it should arrive: a final line end belongs to the pipe, not to the message.
fn without_final_newline(text: &str) -> &str {
    text.strip_suffix('\n').unwrap_or(text)
}

#[test]
fn ten_thousand_lines_arrive_byte_for_byte() {
    let mut world = World::start();
    let (alice, bob) = (world.user("alice"), world.user("bob"));
    let mut texts = Vec::new();
    for _ in 0..MESSAGES {
        let mut text = String::from("»");
        for _ in 0..LINES / MESSAGES {
            text.push_str(&line(&mut world.rng));
            text.push('\n');
        }
        text.push('«');
        texts.push(text);
    }
    // each piece alone in a message
    texts.extend(PIECES.iter().map(|piece| format!("[{piece}]")));
    // as large as may be, in one byte and in four bytes a character
    texts.push("x".repeat(65_536));
    texts.push("🦀".repeat(16_384));
    texts.push("\u{1}".repeat(65_536));
    for text in &texts {
        alice.pipe(&["message", "bob", "-"], text.as_bytes()).ok();
    }
    until("everything arrived", || (bob.received().len() == texts.len()).then_some(()));
    let got = bob.received();
    for (sent, got) in texts.iter().zip(&got) {
        assert!(without_final_newline(sent) == without_final_newline(got), "sent {sent:.200?}\ngot {got:.200?}");
    }
    // the sender's own copy is the same
    let own: Vec<_> = alice.history().iter().map(|item| item["text"].as_str().unwrap_or_default().to_owned()).collect();
    assert!(own == got, "the sender's history differs");
}

#[test]
fn nothing_of_it_reaches_a_terminal_raw() {
    let mut world = World::start();
    let (alice, bob) = (world.user("alice"), world.user("bob"));
    let text = PIECES.join(" ");
    alice.run(&["message", "bob", "before", "--wait", "delivered"]).ok();
    let before = bob.history().first().map(|item| item["id"].as_str().unwrap_or_default().to_owned());
    let before = before.expect("a message");
    alice.pipe(&["message", "bob", "-", "--wait", "delivered"], text.as_bytes()).ok();
    for args in [
        &["read", "--peek"][..],
        &["inbox"],
        &["watch", "--only", "message", "--since", &before, "--count", "1", "--for", "30s"],
        &["read", "--plain", "--peek"],
    ] {
        let output = bob.run(args).ok();
        assert!(output.stdout.contains(PIECES[0]), "{args:?} did not print it: {output}");
        let bad = |c: char| {
            (c.is_control() && c != '\n' && c != '\t')
                || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
        };
        let found = output.stdout.chars().find(|&c| bad(c));
        assert_eq!(found, None, "{args:?} printed {found:?}");
    }
}

#[test]
fn an_empty_text_is_no_message() {
    let mut world = World::start();
    let (alice, _bob) = (world.user("alice"), world.user("bob"));
    let empty = alice.pipe(&["message", "bob", "-"], b"");
    assert!(matches!(empty.code, 2 | 15), "{empty}");
}
