//! No raw error ever: what a program shows must hold nothing that only its makers could read. Every output of every run, every line of
//! a shell and every log of a world goes through here.

/// What no text for people holds: the system's error numbers, a panic, a back trace.
const NEVER: &[&str] = &["os error", "panicked at", "stack backtrace", "RUST_BACKTRACE", "called `", "ErrorKind"];

/// Beginnings of a value as the compiler writes it for the makers.
const VALUES: &[&str] = &["Err(", "Ok(", "Some(", "None)", "Os {", "Custom {"];

/// Panics where the text holds something raw; `who` said it.
#[track_caller]
pub fn tidy(who: &str, text: &str) {
    if let Some(line) = text.lines().find(|line| raw(line).is_some()) {
        panic!("{who} shows something raw ({:?}): {line}", raw(line).unwrap_or_default());
    }
}

/// The raw part of a line, if it has one.
fn raw(line: &str) -> Option<&str> {
    let never = NEVER.iter().find(|part| line.contains(**part)).copied();
    never.or_else(|| VALUES.iter().find(|value| stands_alone(line, value)).copied()).or_else(|| structure(line))
}

/// Whether the value stands there as a word of its own, not at the end of one.
fn stands_alone(line: &str, value: &str) -> bool {
    line.match_indices(value).any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
}

/// `Name { field: `, as a structure is written for the makers. Neither JSON nor TOML looks so.
fn structure(line: &str) -> Option<&str> {
    line.match_indices(" { ").find_map(|(at, brace)| {
        let before = line[..at].rsplit(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
        let after = line[at + brace.len()..].split(": ").next().unwrap_or_default();
        let is_name = before.starts_with(|c: char| c.is_ascii_uppercase());
        let is_field = !after.is_empty() && after.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        (is_name && is_field && line[at..].contains(": ")).then_some(before)
    })
}

#[cfg(test)]
mod tests {
    use super::raw;

    #[test]
    fn raw_errors_are_found_and_sentences_are_not() {
        for text in [
            "chatctl: cannot read x: No such file or directory (os error 2).",
            "thread 'main' panicked at src/main.rs:3:5:",
            "Os { code: 2, kind: NotFound, message: \"No such file\" }",
            "chatd: Error { source: Some(\"x\") }",
            "it is Some(3)",
            "failed: Err(Broken)",
            "Unsafe { path: \"/x\", owner: 0 }",
        ] {
            assert!(raw(text).is_some(), "{text}");
        }
        for text in [
            "chatctl: cannot read x: No such file or directory.",
            "{\"v\":1,\"type\":\"error\",\"code\":\"bad_input\"}",
            "profile.work = { server = \"chat.example.org\" }",
            "HandleSome(thing)",
            "a message { with: braces",
            "14:02 bob: Look { here",
        ] {
            assert_eq!(raw(text), None, "{text}");
        }
    }
}
