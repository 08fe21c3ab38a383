//! Text of others made safe to print: chatctl's output, chat-server's own tables and every log field go through here.
//!
//! Nothing in this file changes what is stored or what `--json` shows; it is applied at the moment of printing. What a terminal
//! would obey instead of show (control characters, escape sequences, direction overrides) and what a reader cannot see (zero-width
//! and tag characters, piles of accents) comes out as a visible escape such as `\x1b` or `\u{202e}`. Printable ASCII is never changed.

use std::borrow::Cow;
use std::fmt::Write;

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Combining marks kept on one character: enough for pointed Hebrew with accents, too few to paint over the lines above.
pub const MARKS_MAX: usize = 6;

const ZERO_WIDTH_JOINER: char = '\u{200d}';
const FIRST_STRONG_ISOLATE: char = '\u{2068}';
const POP_ISOLATE: char = '\u{2069}';

/// One line of text: names, titles, file names, log fields, texts of a server. Newlines and tabs are escaped too, so the result
/// is exactly one line and one column of a tab-separated table (S25).
pub fn line(text: &str) -> Cow<'_, str> {
    if text.bytes().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for cluster in text.graphemes(true) {
        push_cluster(&mut out, cluster);
    }
    Cow::Owned(out)
}

/// A message text over several lines: newlines (also CRLF) and tabs are kept, and every line after the first starts with
/// `gutter`, so that one message can never look like two (S18).
pub fn message(text: &str, gutter: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for cluster in text.graphemes(true) {
        match cluster {
            "\n" | "\r\n" => {
                out.push('\n');
                out.push_str(gutter);
            }
            "\t" => out.push('\t'),
            _ => push_cluster(&mut out, cluster),
        }
    }
    out
}

/// A name chosen by someone else: as [`line()`], and wrapped in first-strong isolates when it is not ASCII, so that a right-to-left
/// name cannot reorder the words around it.
pub fn name(text: &str) -> Cow<'_, str> {
    let shown = line(text);
    if shown.is_ascii() {
        return shown;
    }
    Cow::Owned(format!("{FIRST_STRONG_ISOLATE}{shown}{POP_ISOLATE}"))
}

/// A word as a shell takes it back, a POSIX one or on Windows those there are, for commands that are shown to be typed. What [`line()`]
/// escapes stays escaped: the result is safe to print first.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || BARE.contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    between_quotes(&line(word))
}

/// What means nothing to a shell.
#[cfg(not(windows))]
const BARE: &str = "-_./:=@%+,";
/// What means nothing to a shell.
#[cfg(windows)]
const BARE: &str = "-_./:=+\\";

#[cfg(not(windows))]
fn between_quotes(line: &str) -> String {
    format!("'{}'", line.replace('\'', r"'\''"))
}

#[cfg(windows)]
fn between_quotes(line: &str) -> String {
    format!("\"{}\"", line.replace('"', "\\\""))
}

/// Terminal columns that a text from [`line()`] or [`name`] takes.
pub fn width(text: &str) -> usize {
    text.width()
}

fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~')
}

/// Shows one user-perceived character. `kept` is the last character that was printed as it is: a mark or joiner is only let
/// through behind such a one, so that it never attaches to an escape, a prompt or a gutter.
fn push_cluster(out: &mut String, cluster: &str) {
    let mut kept = None;
    let mut marks = 0;
    let mut chars = cluster.chars().peekable();
    while let Some(c) = chars.next() {
        let next = chars.peek().copied();
        let show = match c {
            ZERO_WIDTH_JOINER => kept.is_some() && next.is_some_and(is_pictograph),
            '\u{fe0e}' | '\u{fe0f}' => kept.is_some_and(|base| takes_style(base, next)),
            c if is_hidden(c) => false,
            c if c.width() == Some(0) => {
                marks += 1;
                kept.is_some() && marks <= MARKS_MAX
            }
            _ => {
                marks = 0;
                true
            }
        };
        if show {
            out.push(c);
            kept = Some(c);
        } else {
            push_escape(out, c);
            kept = None;
        }
    }
}

fn push_escape(out: &mut String, c: char) {
    let code = u32::from(c);
    let written = match c {
        '\n' => write!(out, "\\n"),
        '\r' => write!(out, "\\r"),
        '\t' => write!(out, "\\t"),
        c if c.is_ascii() => write!(out, "\\x{code:02x}"),
        _ => write!(out, "\\u{{{code:x}}}"),
    };
    debug_assert!(written.is_ok(), "writing to a String does not fail");
}

/// Characters that a terminal obeys or a reader cannot see: Unicode's controls, format characters, default-ignorable code points
/// and noncharacters, save the emoji joiner and the two emoji styles, which depend on their neighbours.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || is_noncharacter(c)
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

fn is_noncharacter(c: char) -> bool {
    u32::from(c) & 0xfffe == 0xfffe || matches!(c, '\u{fdd0}'..='\u{fdef}')
}

/// May an emoji style selector stand behind `base`? Behind a pictograph, or in a keycap such as `1` + U+FE0F + U+20E3.
fn takes_style(base: char, next: Option<char>) -> bool {
    let keycap = matches!(base, '0'..='9' | '#' | '*') && next == Some('\u{20e3}');
    keycap || is_pictograph(base)
}

/// Asks the segmentation tables whether a character is Extended_Pictographic: only such a one is glued to an emoji by a joiner
/// (UAX 29, GB11) without also being glued to a letter.
fn is_pictograph(c: char) -> bool {
    let clusters = |text: String| text.graphemes(true).count();
    clusters(format!("\u{1f600}{ZERO_WIDTH_JOINER}{c}")) == 1 && clusters(format!("a{c}")) == 2
}

/// A cause without the numbers that the system gives to its errors: people have no use for ` (os error 2)`. The full stop before
/// it, which Windows has, goes with it: the sentence around it ends with one.
pub fn cause(text: &str) -> Cow<'_, str> {
    let Some((before, rest)) = text.split_once(" (os error ") else { return Cow::Borrowed(text) };
    match rest.split_once(')') {
        Some((number, after)) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
            Cow::Owned(format!("{}{}", before.strip_suffix('.').unwrap_or(before), cause(after)))
        }
        _ => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GUTTER: &str = "  | ";

    /// What no output may contain, said independently of `is_hidden`.
    fn is_dangerous(c: char) -> bool {
        let code = u32::from(c);
        code < 0x20
            || (0x7f..0xa0).contains(&code)
            || matches!(code, 0x61c | 0x200e | 0x200f | 0x2028..=0x202e | 0x2066..=0x2069 | 0xfeff | 0xfff9..=0xfffb)
            || (0xe0000..=0xe007f).contains(&code)
    }

    fn any_char() -> impl Strategy<Value = char> {
        prop_oneof![
            any::<char>(),
            proptest::char::range(' ', '~'),
            proptest::sample::select(vec![
                '\n',
                '\r',
                '\t',
                '\u{1b}',
                '\u{7f}',
                '\u{85}',
                '\u{9b}',
                '\u{202e}',
                '\u{2066}',
                '\u{2069}',
                '\u{301}',
                '\u{20e3}',
                '\u{200c}',
                '\u{200d}',
                '\u{fe0f}',
                '\u{1f600}',
                '\u{2764}',
                '\u{1f3fb}',
                '\u{1f1e6}',
                '\u{600}',
                '\u{915}',
                '\u{94d}',
                '\u{937}',
                '\u{93e}',
                '\u{1100}',
                '\u{1161}',
                '\u{11a8}',
                '\u{5d0}',
                '\u{e0061}',
                '\u{3164}',
                '\u{2028}',
            ]),
        ]
    }

    fn any_text() -> impl Strategy<Value = String> {
        proptest::collection::vec(any_char(), 0..40).prop_map(String::from_iter)
    }

    proptest! {
        #[test]
        fn a_line_holds_nothing_dangerous_and_is_one_line(text in any_text()) {
            let shown = line(&text);
            prop_assert!(!shown.contains(is_dangerous), "{shown:?}");
        }

        #[test]
        fn showing_twice_changes_nothing_more(text in any_text()) {
            let once = line(&text);
            prop_assert_eq!(line(&once), once.clone());
        }

        #[test]
        fn every_further_line_starts_with_the_gutter(text in any_text()) {
            let shown = message(&text, GUTTER);
            prop_assert!(!shown.contains(|c| is_dangerous(c) && c != '\n' && c != '\t'), "{shown:?}");
            prop_assert_eq!(shown.matches('\n').count(), text.matches('\n').count());
            for further in shown.split('\n').skip(1) {
                prop_assert!(further.starts_with(GUTTER), "{further:?}");
                let rest = &further[GUTTER.len()..];
                prop_assert!(rest.chars().next().is_none_or(|c| c.width() != Some(0)), "{rest:?} would change the gutter");
            }
        }

        #[test]
        fn printable_ascii_is_unchanged(text in "[ -~]{0,80}") {
            prop_assert_eq!(line(&text), text.as_str());
            prop_assert_eq!(name(&text), text.as_str());
            prop_assert_eq!(message(&text, GUTTER), text.clone());
            prop_assert_eq!(width(&text), text.len());
        }

        #[test]
        fn a_name_is_ascii_or_isolated(text in any_text()) {
            let shown = name(&text);
            if !shown.is_ascii() {
                let inner = shown.strip_prefix(FIRST_STRONG_ISOLATE).and_then(|rest| rest.strip_suffix(POP_ISOLATE));
                prop_assert!(inner.is_some_and(|inner| !inner.contains(is_dangerous)), "{shown:?}");
            }
        }

        #[test]
        fn marks_are_capped_everywhere(text in any_text()) {
            let mut run = 0;
            for c in line(&text).chars() {
                run = if c != ZERO_WIDTH_JOINER && c.width() == Some(0) { run + 1 } else { 0 };
                prop_assert!(run <= MARKS_MAX + 1, "one emoji style beside the marks");
            }
        }
    }

    #[test]
    fn every_character_alone_and_behind_a_letter() {
        for c in '\0'..=char::MAX {
            let alone = c.to_string();
            let shown = line(&alone);
            assert!(!shown.contains(is_dangerous), "{c:?} became {shown:?}");
            assert_ne!(width(&shown), 0, "{c:?} is invisible");
            let behind = line(&format!("a{c}")).into_owned();
            assert!(behind.starts_with('a') && !behind.contains(is_dangerous), "{c:?} became {behind:?}");
            let text = message(&alone, GUTTER);
            assert_eq!(text.contains('\n'), c == '\n');
            assert!(!text.contains(|c| is_dangerous(c) && c != '\n' && c != '\t'), "{c:?} became {text:?}");
        }
    }

    #[test]
    fn s17_escapes_are_visible() {
        assert_eq!(line("a\x1b[31mb"), r"a\x1b[31mb");
        assert_eq!(line("a\u{9b}31mb"), r"a\u{9b}31mb");
        assert_eq!(line("a\u{202e}b\r\nc\td"), r"a\u{202e}b\r\nc\td");
        assert_eq!(line("hid\u{200b}den \u{e0041}"), r"hid\u{200b}den \u{e0041}");
        assert_eq!(line("\u{301}x"), r"\u{301}x");
    }

    #[test]
    fn s18_a_forged_second_message_carries_the_gutter() {
        assert_eq!(message("hi\n[12:01] alice: yes\r\n\tend\rx", "  | "), "hi\n  | [12:01] alice: yes\n  | \tend\\rx");
    }

    #[test]
    fn ordinary_scripts_and_emoji_are_untouched() {
        for text in [
            "Zoë naïve façade",
            "e\u{301}",
            "שָׁלוֹם",
            "नमस्ते क्षत्रिय",
            "한국어",
            "\u{1112}\u{1161}\u{11ab}",
            "👩\u{200d}❤\u{fe0f}\u{200d}💋\u{200d}👨🏽",
            "🇫🇷",
            "1\u{fe0f}\u{20e3}",
            "☺\u{fe0f}",
        ] {
            assert_eq!(line(text), text);
        }
    }

    #[test]
    fn joiners_and_styles_need_emoji() {
        assert_eq!(line("pay\u{200d}pal"), r"pay\u{200d}pal");
        assert_eq!(line("pay\u{fe0f}pal"), r"pay\u{fe0f}pal");
        assert_eq!(line("😀\u{200d}"), r"😀\u{200d}");
        assert_eq!(line("☺\u{fe0f}\u{fe0f}"), "☺\u{fe0f}\\u{fe0f}");
    }

    #[test]
    fn piles_of_marks_are_cut() {
        let pile = format!("e{}", "\u{301}".repeat(40));
        let shown = line(&pile);
        assert_eq!(shown.matches('\u{301}').count(), MARKS_MAX);
        assert_eq!(shown.matches(r"\u{301}").count(), 40 - MARKS_MAX);
    }

    #[test]
    fn names_of_other_scripts_are_isolated() {
        assert_eq!(name("alice"), "alice");
        assert_eq!(name("אליס"), "\u{2068}אליס\u{2069}");
        assert_eq!(width(&name("日本")), 4);
    }

    #[cfg(unix)]
    #[test]
    fn a_shell_reads_a_quoted_word_as_it_was() {
        let mut words: Vec<String> =
            (' '..='~').flat_map(|c| [c.to_string(), format!("a{c}b"), format!("{c}{c}")]).collect();
        words.extend(["", "it's", "$HOME `id` \"x\" \\", "-n", "Zo\u{eb} \u{65e5}\u{672c}", "'"].map(str::to_owned));
        let typed: Vec<_> = words.iter().map(|word| quoted(word)).collect();
        // No word is empty for printf, and the mark shows where each ends.
        let script = format!("printf '%s|\\n' {}", typed.join(" "));
        let read = std::process::Command::new("sh").args(["-c", &script]).output().expect("a shell");
        let read = String::from_utf8(read.stdout).expect("text");
        assert_eq!(read.lines().map(|line| line.strip_suffix('|').expect("a mark")).collect::<Vec<_>>(), words);
    }

    #[cfg(windows)]
    #[test]
    fn words_are_quoted_only_where_a_shell_needs_it() {
        for plain in ["alice", r"C:\Users\alice\chat.db", "chat.example:7443"] {
            assert_eq!(quoted(plain), plain);
        }
        assert_eq!(quoted(r"C:\Users\Alice B"), "\"C:\\Users\\Alice B\"");
        assert_eq!((quoted("").as_str(), quoted("a\nb").as_str()), ("\"\"", "\"a\\nb\""));
    }

    #[cfg(not(windows))]
    #[test]
    fn words_are_quoted_only_where_a_shell_needs_it() {
        for plain in ["alice", "/srv/chat-1/a_b.toml", "chat.example:7443", "bob@host", "a=1,b+2%"] {
            assert_eq!(quoted(plain), plain);
        }
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("a\nb\u{1b}[2J"), r"'a\nb\x1b[2J'");
    }

    #[test]
    fn causes_have_no_numbers_of_the_system() {
        assert_eq!(cause("a: No such file (os error 2). Kept (os error 13)"), "a: No such file. Kept");
        assert_eq!(cause("a: The path is not there. (os error 3)"), "a: The path is not there");
        for same in ["", "all is well", "a name (os error x)", "cut (os error 2"] {
            assert_eq!(cause(same), same);
        }
    }
}
