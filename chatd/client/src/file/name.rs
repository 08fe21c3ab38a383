//! Names of received files: what a peer offers is never used as it is (S24). A safe name is one part of a path on every system, says
//! nothing to a terminal, hides from nobody, and fits beside the marks of an unfinished file.

use chat_proto::display;
use chat_proto::limits::FILE_NAME_MAX;

/// What stands for a name of which nothing is left.
const NAMELESS: &str = "file";
/// Bytes that an unfinished file's name has beside the name itself: a dot, the id between dots, `part`.
const MARKS: usize = 1 + 1 + 16 + 5;
/// Names that mean a device on Windows, with any ending.
const DEVICES: &[&str] = &["con", "prn", "aux", "nul", "clock$", "conin$", "conout$"];

/// The name under which an offered file may lie here.
pub fn safe(offered: &str) -> String {
    let last = offered.rsplit(['/', '\\']).find(|part| !part.trim_matches(['.', ' ']).is_empty()).unwrap_or_default();
    let plain: String = last.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    // Windows drops dots and blanks at the end, and so two names would be one.
    let bare = plain.trim_start_matches(['.', ' ', '-', '~']).trim_end_matches(['.', ' ']);
    let named = if bare.is_empty() { NAMELESS } else { bare };
    let named = if is_device(named) { format!("_{named}") } else { named.to_owned() };
    shortened(&named, "")
}

/// The name of a file that is not all there yet, beside its place.
pub fn unfinished(safe: &str, id: &str) -> String {
    format!(".{safe}.{id}.part")
}

/// The name that is tried as the `number`th, from 2 on: `name (2).ext`.
pub fn numbered(safe: &str, number: u32) -> String {
    shortened(safe, &format!(" ({number})"))
}

/// The name with `mark` before its ending, cut before that where it would be too long.
fn shortened(name: &str, mark: &str) -> String {
    let (stem, ending) = split(name);
    let room = FILE_NAME_MAX - MARKS - mark.len() - ending.len();
    let mut end = stem.len().min(room);
    while !stem.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{mark}{ending}", stem[..end].trim_end_matches(['.', ' ']))
}

/// A name and its ending; one that is long, or all there is, is none. `.tar.gz` is one ending.
fn split(name: &str) -> (&str, &str) {
    /// Bytes of what is still an ending.
    const ENDING_MAX: usize = 16;
    let dot = |text: &str| text.rfind('.').filter(|at| *at > 0 && text.len() - at <= ENDING_MAX);
    match dot(name) {
        Some(at) => {
            let at = if name[..at].ends_with(".tar") && at > 4 { at - 4 } else { at };
            name.split_at(at)
        }
        None => (name, ""),
    }
}

fn is_plain(c: char) -> bool {
    if c.is_ascii() {
        return !c.is_ascii_control() && !r#"<>:"|?*"#.contains(c);
    }
    // What would be shown escaped even behind a letter is no part of a name; nor is a blank that looks like another.
    let behind = format!("a{c}");
    !c.is_whitespace() && display::line(&behind) == behind
}

fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_lowercase();
    let numbered = ["com", "lpt"].iter().filter_map(|prefix| stem.strip_prefix(prefix)).any(|rest| {
        let mut rest = rest.chars();
        matches!((rest.next(), rest.next()), (Some('0'..='9' | '¹' | '²' | '³'), None))
    });
    numbered || DEVICES.contains(&stem.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_stay_as_they_are() {
        for name in [
            "report.pdf",
            "a b (1).tar.gz",
            "Käse Größe.txt",
            "日本語.txt",
            "x",
            "résumé",
            "re\u{301}sume\u{301}",
            "100%.csv",
            "it's",
        ] {
            assert_eq!(safe(name), name);
        }
    }

    #[test]
    fn nothing_of_a_path_is_left() {
        let pairs = [
            ("../../x", "x"),
            ("/etc/passwd", "passwd"),
            ("..\\..\\boot.ini", "boot.ini"),
            ("C:\\Windows\\win.ini", "win.ini"),
            ("C:evil", "C_evil"),
            ("file:stream", "file_stream"),
            ("a/", "a"),
            ("a/..", "a"),
            ("", "file"),
            (".", "file"),
            ("..", "file"),
            ("///", "file"),
            (" . . ", "file"),
            (".bashrc", "bashrc"),
            ("...x", "x"),
            ("-rf", "rf"),
            ("~root", "root"),
            ("x. . .", "x"),
        ];
        for (offered, name) in pairs {
            assert_eq!(safe(offered), name, "{offered:?}");
        }
    }

    #[test]
    fn nothing_that_a_terminal_obeys_or_hides_is_left() {
        let pairs = [
            ("a\0b", "a_b"),
            ("a\nb", "a_b"),
            ("\x1b[31mred", "_[31mred"),
            ("a\u{9b}b", "a_b"),
            ("photo\u{202e}gpj.exe", "photo_gpj.exe"),
            ("a\u{200b}b", "a_b"),
            ("a\u{2028}b", "a_b"),
            ("a\u{a0}b", "a_b"),
            ("\u{feff}a", "_a"),
            ("a\u{3164}b", "a_b"),
            ("a<b>c|d?e*f\"g", "a_b_c_d_e_f_g"),
        ];
        for (offered, name) in pairs {
            assert_eq!(safe(offered), name, "{offered:?}");
        }
    }

    #[test]
    fn no_device_of_windows_is_named() {
        for name in ["con", "NUL", "aux.txt", "Com1", "lpt9.tar.gz", "com¹", "conin$"] {
            assert_eq!(safe(name), format!("_{name}"));
        }
        assert_eq!(safe("PRN .x"), "_PRN.x");
        for name in ["console", "com10", "nullable.txt", "lpt"] {
            assert_eq!(safe(name), name);
        }
    }

    #[test]
    fn long_names_keep_their_ending_and_fit_with_all_marks() {
        let id = "0123456789abcdef";
        for name in ["ä".repeat(4000) + ".tar.gz", "x".repeat(300), format!("a.{}", "y".repeat(300)), "😀".repeat(99)]
        {
            let safe = safe(&name);
            assert!(unfinished(&safe, id).len() <= FILE_NAME_MAX, "{safe}");
            assert!(numbered(&safe, 999).len() <= FILE_NAME_MAX - MARKS, "{safe}");
            assert!(!name.ends_with(".tar.gz") || safe.ends_with("ä.tar.gz"), "{safe}");
        }
    }

    #[test]
    fn numbers_stand_before_the_ending() {
        assert_eq!(numbered("report.pdf", 2), "report (2).pdf");
        assert_eq!(numbered("x.tar.gz", 10), "x (10).tar.gz");
        assert_eq!(numbered("README", 3), "README (3)");
    }

    #[test]
    fn a_safe_name_is_safe_already() {
        for offered in ["../.x", "con.txt", "-~.a", "a\u{202e}", "..~..", "- con", &"ü".repeat(500)] {
            assert_eq!(safe(&safe(offered)), safe(offered), "{offered:?}");
        }
    }
}
