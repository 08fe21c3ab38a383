//! The configuration file as `config` changes it: comments and order are kept, and nothing that chatd would refuse takes its place.
//!
//! chatd knows the keys and judges values; it is asked by running the program, so that all this works where it does not run.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::Stdio;

use toml_edit::{DocumentMut, Item, Table, Value};

use crate::output::Trouble;
use crate::paths::Places;
use crate::spawn::chatd;
use crate::words::troubles;

/// Bytes of the file: a hundred times what anybody writes.
const FILE_MAX: u64 = 1024 * 1024;

/// A key that chatd knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its name with its tables.
    pub name: String,
    /// Its default as it is written.
    pub default: String,
    /// What it means.
    pub about: String,
}

/// A setting of the file or a default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The key.
    pub key: String,
    /// Its value as it is written.
    pub value: String,
    /// The file does not say it.
    pub default: bool,
    /// What it means; empty for what has a name of the user's.
    pub about: String,
}

/// The file.
pub struct Settings<'a> {
    places: &'a Places,
    document: DocumentMut,
}

impl<'a> Settings<'a> {
    /// Reads the file; one that is not there is empty.
    pub fn read(places: &'a Places) -> Result<Settings<'a>, Trouble> {
        let file = places.layout.config_file();
        let text = match read(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            text => text.map_err(|error| troubles::state_file(&file, &error))?,
        };
        let document = text
            .parse()
            .map_err(|_| judge(places, None).err().unwrap_or_else(|| troubles::bad_config("it is no TOML")))?;
        Ok(Settings { places, document })
    }

    /// Every setting: what chatd knows with its value here or its default, then profiles and hooks.
    pub fn all(&self) -> Result<Vec<Setting>, Trouble> {
        let keys = keys(self.places)?;
        let known = keys.iter().map(|key| match self.value(&key.name) {
            Some(value) => Setting { key: key.name.clone(), value, default: false, about: key.about.clone() },
            None => {
                Setting { key: key.name.clone(), value: key.default.clone(), default: true, about: key.about.clone() }
            }
        });
        let mut all: Vec<Setting> = known.collect();
        let mut written = Vec::new();
        leaves(self.document.as_table(), "", &mut written);
        let new = written.into_iter().filter(|(key, _)| keys.iter().all(|known| known.name != *key));
        all.extend(new.map(|(key, value)| Setting { key, value, default: false, about: String::new() }));
        Ok(all)
    }

    fn value(&self, key: &str) -> Option<String> {
        let mut item = self.document.as_item();
        for part in path(key)? {
            item = item.get(&part)?;
        }
        item.as_value().map(shown)
    }

    /// Gives a key a value: TOML where it is some, else the text itself. The file is changed once chatd takes it.
    pub fn set(mut self, key: &str, typed: &str) -> Result<String, Trouble> {
        let text = Value::from(typed);
        let candidates = match typed.parse::<Value>() {
            Ok(value) => vec![value, text],
            Err(_) => vec![text],
        };
        let mut refused = None;
        for value in candidates {
            let before = self.document.clone();
            put(&mut self.document, key, value).ok_or_else(|| troubles::bad_setting(key))?;
            match replace(self.places, &self.document.to_string()) {
                Ok(()) => return Ok(self.value(key).unwrap_or_default()),
                // The first refusal speaks of what was meant.
                Err(error) => refused = refused.or(Some(error)),
            }
            self.document = before;
        }
        Err(refused.unwrap_or_else(|| troubles::bad_setting(key)))
    }

    /// The text to edit: the file, or where there is none every key in a comment.
    pub fn text(&self) -> Result<String, Trouble> {
        let text = self.document.to_string();
        if !text.is_empty() {
            return Ok(text);
        }
        let keys = keys(self.places)?;
        let lines = keys.iter().map(|key| format!("# {}\n# {} = {}\n\n", key.about, key.name, key.default));
        Ok(format!("{HEAD}{}{TAIL}", lines.collect::<String>()))
    }
}

/// Puts a text in the place of the file, if chatd takes it.
pub fn replace(places: &Places, text: &str) -> Result<(), Trouble> {
    let file = places.layout.config_file();
    let failed = |error: io::Error| troubles::state_file(&file, &error);
    let draft = file.with_extension("toml.new");
    let directory = file.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(directory).map_err(failed)?;
    write(&draft, text).map_err(failed)?;
    if let Err(trouble) = judge(places, Some(&draft)) {
        // Left behind it would only be in the way.
        let _ = std::fs::remove_file(&draft);
        return Err(Trouble { what: trouble.what.replace("config.toml.new", "config.toml"), ..trouble });
    }
    std::fs::rename(&draft, &file).map_err(failed)?;
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)
}

/// Before the keys of a new file.
const HEAD: &str =
    "# The configuration of chatd and chatctl. A line behind \"#\" is a comment: what stands there is the default.\n\n";
/// Behind them.
const TAIL: &str = "# A profile: an account on a server.\n# profile.work = { server = \"chat.example.org\", user = \"alice\", autologin = true }\n\n\
     # A program that runs when something happens: chatctl help hooks\n\
     # hook = [ { on = \"message\", from = [\"ci\"], run = [\"/usr/local/bin/page\"], timeout = \"10s\" } ]\n";

fn read(file: &Path) -> io::Result<String> {
    let mut text = String::new();
    io::Read::read_to_string(&mut io::Read::take(File::open(file)?, FILE_MAX), &mut text)?;
    Ok(text)
}

fn write(file: &Path, text: &str) -> io::Result<()> {
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(file)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// What chatd says of a file; of its own where none is named.
pub fn judge(places: &Places, file: Option<&Path>) -> Result<(), Trouble> {
    let file = file.map(|file| file.to_string_lossy());
    let named = file.iter().flat_map(|file| ["--config", file]);
    let outcome = run(places, &["--check"].into_iter().chain(named).collect::<Vec<_>>())?;
    if outcome.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&outcome.stderr);
    let words = words.lines().filter(|line| !line.trim_start().starts_with("next: "));
    let words = words.map(|line| line.strip_prefix("chatd: ").unwrap_or(line));
    Err(troubles::bad_config(&words.collect::<Vec<_>>().join(" ")))
}

/// The keys that chatd knows.
fn keys(places: &Places) -> Result<Vec<Key>, Trouble> {
    let outcome = run(places, &["--keys"])?;
    let text = String::from_utf8_lossy(&outcome.stdout);
    let key = |line: &str| {
        let mut columns = line.splitn(3, '\t').map(str::to_owned);
        Some(Key { name: columns.next()?, default: columns.next()?, about: columns.next()? })
    };
    Ok(text.lines().filter_map(key).collect())
}

fn run(places: &Places, arguments: &[&str]) -> Result<std::process::Output, Trouble> {
    let program = places.chatd().ok_or_else(troubles::no_program)?;
    let outcome = chatd(&program, places).args(arguments).stdin(Stdio::null()).output();
    outcome.map_err(|error| troubles::not_started(&error.to_string()))
}

/// The parts of a dotted key; quotes as in TOML.
fn path(key: &str) -> Option<Vec<String>> {
    let parts = toml_edit::Key::parse(key).ok()?;
    Some(parts.iter().map(|part| part.get().to_owned()).collect())
}

/// Puts a value where the key says; nothing where something that is no table stands on the way.
fn put(document: &mut DocumentMut, key: &str, mut value: Value) -> Option<()> {
    let parts = path(key)?;
    let (last, tables) = parts.split_last()?;
    let mut item = document.as_item_mut();
    for part in tables {
        let here = item.as_table_like_mut()?;
        let inline = here.get(part).is_none();
        let next = here.entry(part).or_insert(Item::Table(Table::new()));
        if let (true, Some(table)) = (inline, next.as_table_mut()) {
            table.set_implicit(true);
            table.set_dotted(true);
        }
        item = next;
    }
    let table = item.as_table_like_mut()?;
    match table.get_mut(last) {
        Some(old) => {
            if let Some(old) = old.as_value() {
                // What stands behind the old value on its line stays there.
                *value.decor_mut() = old.decor().clone();
            }
            // Not inserted anew: the comment above the key is the key's.
            *old = Item::Value(value);
        }
        None => drop(table.insert(last, Item::Value(value))),
    }
    Some(())
}

/// All values below a table, each with its whole key.
fn leaves(table: &dyn toml_edit::TableLike, above: &str, found: &mut Vec<(String, String)>) {
    for (name, item) in table.iter() {
        let name = toml_edit::Key::new(name).to_string();
        let key = if above.is_empty() { name } else { format!("{above}.{name}") };
        match item {
            Item::Value(Value::InlineTable(inner)) => leaves(inner, &key, found),
            Item::Table(inner) => leaves(inner, &key, found),
            Item::Value(value) => found.push((key, shown(value))),
            Item::ArrayOfTables(tables) => found.push((key, format!("[ {} tables ]", tables.len()))),
            Item::None => {}
        }
    }
}

/// A value on one line, without the comment behind it.
fn shown(value: &Value) -> String {
    let mut value = value.clone();
    value.decor_mut().clear();
    value.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(text: &str, key: &str, value: impl Into<Value>) -> String {
        let mut document: DocumentMut = text.parse().expect("TOML");
        put(&mut document, key, value.into()).expect("it can be put there");
        document.to_string()
    }

    #[test]
    fn comments_and_order_are_kept() {
        let text = "# mine\nlog.level = \"info\" # loud\n\n[receipts]\n# why\nsend_read = true\n";
        assert_eq!(
            changed(text, "receipts.send_read", false),
            "# mine\nlog.level = \"info\" # loud\n\n[receipts]\n# why\nsend_read = false\n"
        );
        assert!(changed(text, "log.level", "debug").contains("log.level = \"debug\" # loud"));
        assert_eq!(changed("", "log.level", "debug"), "log.level = \"debug\"\n");
        assert_eq!(
            changed("profile.work = { server = \"a\" }\n", "profile.work.user", "bob"),
            "profile.work = { server = \"a\" , user = \"bob\" }\n"
        );
    }

    #[test]
    fn nothing_is_put_below_a_value() {
        let mut document: DocumentMut = "log = 5".parse().expect("TOML");
        assert!(put(&mut document, "log.level", "x".into()).is_none());
        assert!(put(&mut document, "a..b", "x".into()).is_none());
    }

    #[test]
    fn values_are_found_with_their_whole_key() {
        let document: DocumentMut =
            "a = 1 # one\nb.c = \"x\"\n[d]\ne = { f = [1,\n 2] }\n[[h]]\n[[h]]\n".parse().expect("TOML");
        let mut found = Vec::new();
        leaves(document.as_table(), "", &mut found);
        let found: Vec<_> = found.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(found, [("a", "1"), ("b.c", "\"x\""), ("d.e.f", "[1, 2]"), ("h", "[ 2 tables ]")]);
    }
}
