//! The configuration as a list of dotted keys, for comparing two of them and for showing one.

use std::collections::BTreeMap;

use super::Written;

/// Keys of which a running server keeps the value that it started with.
pub const NEEDS_RESTART: &[&str] = &[
    "admin.http",
    "admin.socket",
    "auth.credentials",
    "listen",
    "log.format",
    "private.relay_listen",
    "sandbox",
    "storage.dir",
];

/// Dotted keys with their values as TOML, in the order of the keys. Paths that were not written are not among them.
pub type Flat = BTreeMap<String, String>;

/// All keys of a configuration.
pub fn flat(keys: &Written) -> Flat {
    let mut out = Flat::new();
    // Nothing in it is of a kind that TOML does not have.
    if let Ok(table) = toml::Table::try_from(keys) {
        add(&mut out, "", table);
    }
    out
}

/// As [`flat`], of a table that somebody wrote.
pub fn flat_table(table: toml::Table) -> Flat {
    let mut out = Flat::new();
    add(&mut out, "", table);
    out
}

/// The keys whose values differ.
pub fn changed(old: &Flat, new: &Flat) -> Vec<String> {
    let all: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    all.into_iter().filter(|key| old.get(*key) != new.get(*key)).cloned().collect()
}

fn add(out: &mut Flat, above: &str, table: toml::Table) {
    for (key, value) in table {
        let key = if above.is_empty() { key } else { format!("{above}.{key}") };
        match value {
            toml::Value::Table(below) => add(out, &key, below),
            value => {
                out.insert(key, value.to_string());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_dotted_and_compared() {
        let usual = flat(&Written::default());
        assert_eq!(usual.get("listen").map(String::as_str), Some("[\"[::]:7443\"]"));
        assert_eq!(usual.get("sessions.idle_after").map(String::as_str), Some("\"30m\""));
        assert_eq!(usual.get("tls.cert"), None);
        let mut other = Written::default();
        other.limits.connections = 3;
        other.tls.cert = Some("a.pem".into());
        assert_eq!(changed(&usual, &flat(&other)), ["limits.connections", "tls.cert"]);
        for key in NEEDS_RESTART.iter().filter(|key| !["admin.socket", "storage.dir"].contains(key)) {
            assert!(usual.contains_key(*key), "{key} is no key");
        }
    }
}
