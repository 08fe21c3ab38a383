//! `config`: the configuration as it is by default, as it is written, as it counts, and how the two differ.

use std::process::ExitCode;

use chat_process::config::find;
use chat_server::config::flat::{self, Flat, NEEDS_RESTART};
use chat_server::config::{Config, Layout, Written, template};
use serde::Serialize;

use super::{json, say};
use crate::args::Args;

/// `config default`: every key with its default and what it means; it is a configuration file.
pub fn default(args: &Args, layout: &Layout) -> anyhow::Result<ExitCode> {
    let text = template::text(layout, "", None);
    if args.json {
        return say(&json("config", &list(&flat::flat(&Written::default()), None))?);
    }
    say(text.trim_end())
}

/// `config show`: what is written; `effective`: every key with the value that counts.
pub fn show(args: &Args, config: &Config, effective: bool) -> anyhow::Result<ExitCode> {
    let mut keys = flat::flat(&config.keys);
    if effective {
        keys.extend(places(config));
    } else {
        keys.retain(|key, _| find(&config.files, key).is_some());
    }
    if args.json {
        return say(&json("config", &list(&keys, Some(config)))?);
    }
    say(&keys.iter().map(|(key, value)| format!("{key} = {value}")).collect::<Vec<_>>().join("\n"))
}

/// Keys that are left out have these values.
fn places(config: &Config) -> Flat {
    let text = |value: &dyn std::fmt::Display| toml::Value::from(value.to_string()).to_string();
    [
        ("name", text(&config.name)),
        ("tls.cert", text(&config.cert.display())),
        ("tls.key", text(&config.key.display())),
        ("storage.dir", text(&config.data.display())),
        ("admin.socket", text(&config.admin_socket.display())),
        ("backup.dir", text(&config.backups.display())),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect()
}

/// `config diff`: keys whose value is not the default, with the default and where they are written.
pub fn diff(args: &Args, config: &Config) -> anyhow::Result<ExitCode> {
    let (usual, now) = (flat::flat(&Written::default()), flat::flat(&config.keys));
    let keys: Flat = flat::changed(&usual, &now)
        .into_iter()
        .filter_map(|key| now.get(&key).map(|value| (key, value.clone())))
        .collect();
    if args.json {
        return say(&json("config", &list(&keys, Some(config)))?);
    }
    if keys.is_empty() {
        return say("every key has its default");
    }
    let lines = keys.iter().map(|(key, value)| {
        let place = find(&config.files, key)
            .map_or_else(String::new, |(file, (line, _))| format!(" ({}:{line})", file.display()));
        match usual.get(key) {
            Some(usual) => format!("{key} = {value}  # default {usual}{place}"),
            None => format!("{key} = {value}  #{place}"),
        }
    });
    say(&lines.collect::<Vec<_>>().join("\n"))
}

fn list<'a>(keys: &'a Flat, config: Option<&Config>) -> Items<'a> {
    let usual = flat::flat(&Written::default());
    let items = keys.iter().map(|(key, value)| {
        let place = config.and_then(|config| find(&config.files, key));
        let (file, line) =
            place.map_or((None, None), |(file, (line, _))| (Some(file.display().to_string()), Some(line)));
        let needs_restart = NEEDS_RESTART.contains(&key.as_str());
        Item { key, value, default: usual.get(key).cloned(), file, line, needs_restart }
    });
    Items { items: items.collect() }
}

#[derive(Serialize)]
struct Items<'a> {
    items: Vec<Item<'a>>,
}

/// A key as it is printed, in this order; values as TOML.
#[derive(Serialize)]
struct Item<'a> {
    key: &'a str,
    value: &'a str,
    default: Option<String>,
    file: Option<String>,
    line: Option<usize>,
    needs_restart: bool,
}
