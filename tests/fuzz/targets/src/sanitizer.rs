//! Text of others on its way to a terminal: the promises of `chat_proto::display`, said here in other words than there.

use chat_proto::display::{MARKS_MAX, line, message, name, width};
use unicode_width::UnicodeWidthChar;

const GUTTER: &str = "  | ";

/// One text through everything that prints.
pub fn sanitizer(data: &[u8]) {
    let text = &*String::from_utf8_lossy(data);
    one_line(text);
    many_lines(text);
    let shown = name(text);
    if !shown.is_ascii() {
        let inner = shown.strip_prefix('\u{2068}').and_then(|rest| rest.strip_suffix('\u{2069}'));
        assert!(inner.is_some_and(|inner| !inner.contains(is_dangerous)), "{shown:?}");
    }
}

fn one_line(text: &str) {
    let shown = line(text);
    assert!(!shown.contains(is_dangerous), "{shown:?}");
    assert_eq!(line(&shown), shown, "showing twice changes nothing more");
    if text.bytes().all(|b| (b' '..=b'~').contains(&b)) {
        assert_eq!(shown, text);
        assert_eq!(width(&shown), text.len());
    }
    let mut run = 0;
    for c in shown.chars() {
        run = if c != '\u{200d}' && c.width() == Some(0) { run + 1 } else { 0 };
        // an emoji style may stand beside the marks
        assert!(run <= MARKS_MAX + 1, "{shown:?}");
    }
}

fn many_lines(text: &str) {
    let shown = message(text, GUTTER);
    assert!(!shown.contains(|c| is_dangerous(c) && c != '\n' && c != '\t'), "{shown:?}");
    assert_eq!(shown.matches('\n').count(), text.matches('\n').count());
    for further in shown.split('\n').skip(1) {
        let rest = further.strip_prefix(GUTTER);
        assert!(rest.is_some_and(|rest| rest.chars().next().is_none_or(|c| c.width() != Some(0))), "{further:?}");
    }
}

/// What no terminal may get.
fn is_dangerous(c: char) -> bool {
    let code = u32::from(c);
    code < 0x20
        || (0x7f..0xa0).contains(&code)
        || matches!(code, 0x61c | 0x200e | 0x200f | 0x2028..=0x202e | 0x2066..=0x2069 | 0xfeff | 0xfff9..=0xfffb)
        || (0xe0000..=0xe007f).contains(&code)
}
