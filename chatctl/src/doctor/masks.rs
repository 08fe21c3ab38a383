//! What of a report names somebody or some place, and the words in its place: equal things get equal words, so that the report can
//! still be followed. Called by `bundle` alone.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

/// Fields of chatd's log in which a name stands, and what is named there.
const FIELDS: &[(&str, &str)] = &[
    ("profile", "profile"),
    ("user", "person"),
    ("account", "person"),
    ("peer", "person"),
    ("device", "device"),
    ("server", "server"),
    ("host", "server"),
    ("name", "name"),
];

/// What is replaced, and by what.
#[derive(Debug, Default)]
pub struct Masks {
    names: BTreeMap<String, String>,
    counts: BTreeMap<&'static str, usize>,
}

impl Masks {
    /// Replaces a name from here on; the first word for it stays.
    pub fn add(&mut self, kind: &'static str, name: &str) {
        // The usual name of a profile tells nothing.
        if name.is_empty() || name == "default" || self.names.contains_key(name) {
            return;
        }
        let mask = self.numbered(kind);
        self.names.insert(name.to_owned(), mask);
        // A server is also named without its port.
        if let ("server", Some((host, port))) = (kind, name.rsplit_once(':'))
            && port.bytes().all(|byte| byte.is_ascii_digit())
        {
            self.add("server", host);
        }
    }

    /// This host, whose home is on it, and the home that was named.
    pub fn host(&mut self, named: Option<&Path>) {
        if let Some(home) = std::env::home_dir().filter(|home| home.components().count() > 1) {
            self.names.insert(home.to_string_lossy().into_owned(), "~".to_owned());
        }
        if let Some(named) = named {
            self.names.insert(named.to_string_lossy().into_owned(), "CHAT-HOME".to_owned());
        }
        self.add("host", &host_name());
        for variable in ["USER", "LOGNAME", "USERNAME"] {
            std::env::var(variable).iter().for_each(|name| self.add("login", name));
        }
    }

    /// A configuration that nobody understands: what it calls a profile, and what it quotes where names stand, is taken for a name.
    pub fn of_config(&mut self, text: &str) {
        const NAMED: &[&str] = &["server", "user", "auto_accept", "from"];
        for line in text.lines() {
            let profiles = line.split("profile.").skip(1);
            let ends = |c: char| !(c.is_alphanumeric() || c == '_' || c == '-');
            profiles.for_each(|rest| self.add("profile", rest.split(ends).next().unwrap_or_default()));
            if NAMED.iter().any(|key| line.contains(key)) {
                line.split('"').skip(1).step_by(2).for_each(|quoted| self.add("name", quoted));
            }
        }
    }

    /// A line of chatd's log, in which names may stand that nobody has told of: they are known by where and how they stand.
    pub fn of_log(&mut self, line: &str) -> String {
        for (field, kind) in FIELDS {
            line.match_indices(&format!(" {field}="))
                .for_each(|(at, start)| self.add(kind, value(&line[at + start.len()..])));
        }
        let line = self.without_paths(line);
        let line = self.without_quoted(&line);
        self.without_hosts(&line)
    }

    /// Without paths: each ends where a cause, or what quotes it, does.
    fn without_paths(&mut self, line: &str) -> String {
        let (mut out, mut rest) = (String::with_capacity(line.len()), line);
        while let Some(at) = path_start(rest, out.chars().next_back()) {
            let (before, path) = rest.split_at(at);
            let end = [": ", "\"", "\\", ", ", "; ", ")"]
                .into_iter()
                .filter_map(|end| path.find(end))
                .min()
                .unwrap_or(path.len());
            out.push_str(before);
            out.push_str(&self.known("path", path[..end].trim_end()));
            rest = &path[end..];
        }
        out + rest
    }

    /// Without what stands in quotes within a text, which the log writes as `\"`.
    fn without_quoted(&mut self, line: &str) -> String {
        let mut out = String::with_capacity(line.len());
        for (number, piece) in line.split("\\\"").enumerate() {
            if number > 0 {
                out.push_str("\\\"");
            }
            match number % 2 {
                1 if !piece.is_empty() => out.push_str(&self.known("name", piece)),
                _ => out.push_str(piece),
            }
        }
        out
    }

    /// Without names of hosts: words with dots that end in letters. A place in a program's text is none.
    fn without_hosts(&mut self, line: &str) -> String {
        let mut out = String::with_capacity(line.len());
        for piece in line.split_inclusive(|c: char| !is_part(c)) {
            let word = piece.trim_end_matches(|c: char| !is_part(c)).trim_end_matches(['.', ':']);
            let host = word.split(':').next().unwrap_or_default();
            let is_source = host.ends_with(".rs") && word != host && out.ends_with('/') && !out.ends_with("//");
            if !is_source && is_host(host) {
                out.push_str(&piece.replacen(host, &self.known("server", host), 1));
            } else {
                out.push_str(piece);
            }
        }
        out
    }

    fn numbered(&mut self, kind: &'static str) -> String {
        let count = self.counts.entry(kind).or_default();
        *count += 1;
        format!("{kind}-{count}")
    }

    /// The text with everything replaced: what is known by name, then what looks like an address or a key.
    pub fn over(&mut self, text: &str) -> String {
        let mut names: Vec<(String, String)> = self.names.clone().into_iter().collect();
        // The longest first: a name may be part of another.
        names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        let text = names.iter().fold(text.to_owned(), |text, (name, mask)| replaced(&text, name, mask));
        let mut out = String::with_capacity(text.len());
        for piece in text.split_inclusive(|c: char| !is_part(c)) {
            let word = piece.trim_end_matches(|c: char| !is_part(c));
            // A sentence may end behind it, and an address may begin with colons.
            let ended = word.trim_end_matches(['.', ':']);
            let found =
                [word, ended, ended.trim_start_matches(':')].into_iter().find_map(|bare| Some((bare, kind(bare)?)));
            let bare = found.map_or(word, |(bare, _)| bare);
            let mask = found.map(|(bare, kind)| self.known(kind, bare));
            match mask {
                Some(mask) => out.push_str(&piece.replacen(bare, &mask, 1)),
                None => out.push_str(piece),
            }
        }
        out
    }

    fn known(&mut self, kind: &'static str, word: &str) -> String {
        if let Some(mask) = self.names.get(word) {
            return mask.clone();
        }
        self.add(kind, word);
        self.names.get(word).cloned().unwrap_or_default()
    }
}

/// What stands behind a field's `=`: what it quotes, or the next word.
fn value(text: &str) -> &str {
    match text.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next().unwrap_or_default(),
        None => text.split(' ').next().unwrap_or_default(),
    }
}

/// Where a full path begins; `before` is what stands before the text.
fn path_start(text: &str, before: Option<char>) -> Option<usize> {
    let begins = |at: usize| {
        let (head, tail) = text.split_at(at);
        let is_path =
            tail.starts_with('/') && !tail.starts_with("//") || tail.starts_with("~/") || tail.get(1..3) == Some(":\\");
        let behind = head.chars().next_back().or(before);
        is_path && behind.is_none_or(|c| !is_part(c) && c != '/' || c == ':')
    };
    text.char_indices().map(|(at, _)| at).find(|at| begins(*at))
}

/// Whether a word is made as a name of a host in a domain is.
fn is_host(word: &str) -> bool {
    let Some((rest, last)) = word.rsplit_once('.') else { return false };
    last.len() > 1
        && last.bytes().all(|byte| byte.is_ascii_alphabetic())
        && rest.bytes().any(|byte| byte.is_ascii_alphanumeric())
}

/// Characters of which names, addresses and keys are made.
fn is_part(c: char) -> bool {
    c.is_alphanumeric() || ".:_-".contains(c)
}

/// Whether a word is an address, with or without a port, or a key.
fn kind(word: &str) -> Option<&'static str> {
    let bare = word.rsplit_once(':').map_or(word, |(host, _)| host);
    if [word, bare].iter().any(|text| text.len() > 2 && text.parse::<IpAddr>().is_ok()) {
        return Some("address");
    }
    let hex = word.strip_prefix("sha256:").unwrap_or(word);
    (hex.len() >= 32 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some("key")
}

/// The text with every occurrence of `name` that is a word of its own replaced.
fn replaced(text: &str, name: &str, mask: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find(name) {
        let (before, after) = (&rest[..at], &rest[at + name.len()..]);
        let joined = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '-');
        let is_word = !joined(before.chars().next_back()) && !joined(after.chars().next());
        out.push_str(before);
        out.push_str(if is_word { mask } else { name });
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(unix)]
fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(windows)]
fn host_name() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_addresses_and_keys_are_replaced_alike_everywhere() {
        let mut masks = Masks::default();
        masks.add("person", "bob");
        masks.add("person", "bob.b");
        masks.add("server", "chat.example.org:7443");
        let key = "sha256:9f2c000000000000000000000000000000000000000000000000000000000000";
        let text = format!("bob@chat.example.org:7443 at 192.168.1.7:4000, bob.b is no bobby; {key} bob [::1]:99");
        assert_eq!(
            masks.over(&text),
            "person-1@server-1 at address-1, person-2 is no bobby; key-1 person-1 [address-2]:99"
        );
        assert_eq!(
            masks.over("192.168.1.7:4000 chat.example.org 10:22:41 v0.1.0"),
            "address-1 server-2 10:22:41 v0.1.0"
        );
    }

    #[test]
    fn a_log_is_rid_of_names_that_nobody_has_told_of() {
        let mut masks = Masks::default();
        let line = r#"2026-11-27T19:14:20.139225Z  INFO chatd::profile: not connected profile="work" detail="it is \"chatbox\", not chat.example.org""#;
        assert_eq!(
            masks.of_log(line),
            r#"2026-11-27T19:14:20.139225Z  INFO chatd::profile: not connected profile="work" detail="it is \"name-1\", not server-1""#
        );
        assert_eq!(masks.over("work at chat.example.org:7443"), "profile-1 at server-1:7443");
        let line =
            r#"ERROR chatd: failed code="denied" detail="/srv/my plans/for bob.pdf: Permission denied" at ~/x: no"#;
        assert_eq!(
            masks.of_log(line),
            r#"ERROR chatd: failed code="denied" detail="path-1: Permission denied" at path-2: no"#
        );
        for kept in [
            r#"2026-11-27T19:14:20.140155Z  INFO chatd: ready version="0.1.0""#,
            "ERROR chat_process::harden: a bug: the process ends panic=panicked at chatd/client/src/main.rs:12:5: no",
            "INFO chat_process::sandbox: chatd is confined confined=landlock ABI 7 + seccomp",
        ] {
            assert_eq!(masks.of_log(kept), kept);
        }
    }
}
