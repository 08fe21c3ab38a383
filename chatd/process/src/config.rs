//! Reads a daemon's TOML files strictly: an unknown key is an error that names file, line and the key that was meant.
//!
//! Both daemons read their "config as written" with it; what the values mean is theirs.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

/// Bytes of one file: a hundred times what anybody writes.
const FILE_MAX: u64 = 1024 * 1024;

/// Why a configuration cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file.
    pub file: PathBuf,
    /// Line and column, from 1, where they are known.
    pub place: Option<(usize, usize)>,
    /// The key with its tables, `limits.connections`, where it is known.
    pub key: Option<String>,
    /// What is wrong.
    pub problem: String,
    /// The known key that was probably meant.
    pub suggestion: Option<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some((line, column)) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        if let Some(key) = &self.key {
            write!(f, ": {key}")?;
        }
        write!(f, ": {}", self.problem)?;
        match &self.suggestion {
            Some(meant) => write!(f, "; did you mean \"{meant}\"?"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ConfigError {}

/// Reads one file.
pub fn load<T: DeserializeOwned>(file: &Path) -> Result<T, ConfigError> {
    parse(&read(file)?, file)
}

/// Reads files of which later ones win key by key: a main file and its drop-ins.
///
/// Each must be right by itself, so an error names the file that holds it. `T` must have defaults for all keys.
pub fn load_layers<T: DeserializeOwned>(files: &[PathBuf]) -> Result<T, ConfigError> {
    load_layers_under(files, &[])
}

/// As [`load_layers`], under texts of the program's own, which win over the files; each with a name for its errors.
pub fn load_layers_under<T: DeserializeOwned>(files: &[PathBuf], own: &[(&str, &str)]) -> Result<T, ConfigError> {
    let layers = files.iter().map(|file| Ok((file.clone(), read(file)?)));
    let own = own.iter().map(|(name, text)| Ok((PathBuf::from(name), (*text).to_owned())));
    parse_layers(&layers.chain(own).collect::<Result<Vec<_>, ConfigError>>()?)
}

/// As [`load_layers`], of texts that were read already.
pub fn parse_layers<T: DeserializeOwned>(layers: &[(PathBuf, String)]) -> Result<T, ConfigError> {
    let mut merged = toml::Table::new();
    for (file, text) in layers {
        parse::<T>(text, file)?;
        merge(&mut merged, parse(text, file)?);
    }
    merged.try_into().map_err(|error: toml::de::Error| {
        let file = layers.last().map(|(file, _)| file.clone()).unwrap_or_default();
        ConfigError { file, place: None, key: None, problem: error.message().to_owned(), suggestion: None }
    })
}

/// Where a key such as `limits.connections` stands, line and column from 1: in the last of the files that names it.
pub fn find(files: &[PathBuf], key: &str) -> Option<(PathBuf, (usize, usize))> {
    files.iter().rev().find_map(|file| {
        let text = read(file).ok()?;
        let offset = offset(&text, key)?;
        Some((file.clone(), place(&text, offset)))
    })
}

fn offset(text: &str, key: &str) -> Option<usize> {
    let root = toml::de::DeTable::parse(text).ok()?;
    let mut table = root.get_ref();
    let mut at = None;
    for part in key.split('.') {
        let (name, value) = table.iter().find(|(name, _)| name.get_ref() == part)?;
        at = Some(name.span().start);
        match value.get_ref() {
            toml::de::DeValue::Table(below) => table = below,
            _ => break,
        }
    }
    at
}

/// Reads a text; `file` is only for the error.
pub fn parse<T: DeserializeOwned>(text: &str, file: &Path) -> Result<T, ConfigError> {
    toml::from_str(text).map_err(|error| explain(&error, text, file))
}

fn merge(into: &mut toml::Table, from: toml::Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(toml::Value::Table(below)), toml::Value::Table(above)) => merge(below, above),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

fn read(path: &Path) -> Result<String, ConfigError> {
    let failed =
        |problem: String| ConfigError { file: path.to_owned(), place: None, key: None, problem, suggestion: None };
    let mut text = String::new();
    let file = File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => failed("there is no such file yet".into()),
        _ => failed(format!("cannot be read: {error}")),
    })?;
    check_mode(&file).map_err(|error| failed(error.to_string()))?;
    let size = file
        .take(FILE_MAX + 1)
        .read_to_string(&mut text)
        .map_err(|error| failed(format!("cannot be read: {error}")))?;
    if size as u64 > FILE_MAX {
        return Err(failed(format!("is larger than {FILE_MAX} bytes")));
    }
    Ok(text)
}

/// A file that everybody may write is nobody's will (S49).
#[cfg(unix)]
fn check_mode(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = file.metadata()?.permissions().mode();
    if mode & 0o002 != 0 { Err(io::Error::other("anybody may write it; chmod o-w it first")) } else { Ok(()) }
}

#[cfg(not(unix))]
fn check_mode(_: &File) -> io::Result<()> {
    Ok(())
}

/// The library's error in words for people.
fn explain(error: &toml::de::Error, text: &str, file: &Path) -> ConfigError {
    let span = error.span();
    let mut words = quoted(error.message());
    let unknown = error.message().starts_with("unknown field").then(|| words.next()).flatten();
    let suggestion = unknown.and_then(|unknown| nearest(unknown, words));
    ConfigError {
        file: file.to_owned(),
        place: span.clone().map(|span| place(text, span.start)),
        key: unknown.map(str::to_owned).or_else(|| span.and_then(|span| key(text, span))),
        problem: if unknown.is_some() { "unknown key".into() } else { error.message().trim_end().to_owned() },
        suggestion,
    }
}

/// The words between backticks: serde names fields so, the unknown one first.
fn quoted(message: &str) -> impl Iterator<Item = &str> {
    message.split('`').skip(1).step_by(2)
}

fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// The key of the line on which a wrong value begins, behind the table it stands in.
fn key(text: &str, span: Range<usize>) -> Option<String> {
    let start = text.get(..span.start)?.rfind('\n').map_or(0, |at| at + 1);
    let (name, _) = text.get(start..)?.lines().next()?.split_once('=')?;
    let table = text[..start].lines().rev().find_map(|line| line.trim().strip_prefix('[')?.split(']').next());
    match table {
        Some(table) => Some(format!("{}.{}", table.trim(), name.trim())),
        None => Some(name.trim().to_owned()),
    }
}

/// The known word closest to `wrong`, if it is close enough to be a slip.
fn nearest<'a>(wrong: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let slip = (wrong.chars().count() / 3).clamp(1, 3);
    known
        .map(|word| (distance(wrong, word), word))
        .filter(|(far, _)| *far <= slip)
        .min_by_key(|(far, _)| *far)
        .map(|(_, word)| word.to_owned())
}

/// Edits between two words: insert, delete, replace, or swap two neighbours.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = match (i, j) {
                (0, _) => j,
                (_, 0) => i,
                _ => {
                    let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                    let edited = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                    let swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                    if swapped { edited.min(rows[i - 2][j - 2] + 1) } else { edited }
                }
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Config {
        name: String,
        listen: Vec<String>,
        limits: Limits,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Limits {
        connections: u32,
        message_burst: u32,
    }

    fn refusal(text: &str) -> String {
        parse::<Config>(text, Path::new("c.toml")).unwrap_err().to_string()
    }

    #[test]
    fn unknown_keys_get_a_suggestion() {
        assert_eq!(refusal("name = \"x\"\nlisten_ = []"), "c.toml:2:1: listen_: unknown key; did you mean \"listen\"?");
        assert_eq!(
            refusal("[limits]\nconections = 1"),
            "c.toml:2:1: conections: unknown key; did you mean \"connections\"?"
        );
        assert_eq!(refusal("nmae = 1"), "c.toml:1:1: nmae: unknown key; did you mean \"name\"?");
        assert_eq!(refusal("colour = 1"), "c.toml:1:1: colour: unknown key");
        assert_eq!(
            refusal("limits = { messageburst = 1 }"),
            "c.toml:1:12: messageburst: unknown key; did you mean \"message_burst\"?"
        );
    }

    #[test]
    fn wrong_values_name_their_key() {
        let text = refusal("name = \"x\"\n\n[limits]\nconnections = \"many\"");
        assert!(text.starts_with("c.toml:4:15: limits.connections: invalid type"), "{text}");
        assert!(refusal("name = ").starts_with("c.toml:1:"));
    }

    #[test]
    fn later_files_win_key_by_key() {
        let dir = std::env::temp_dir().join(format!("chat-process-config-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let (first, second) = (dir.join("1.toml"), dir.join("2.toml"));
        std::fs::write(&first, "name = \"a\"\n[limits]\nconnections = 1\nmessage_burst = 2").unwrap();
        std::fs::write(&second, "limits = { connections = 9 }").unwrap();
        let config: Config = load_layers(&[first.clone(), second.clone()]).unwrap();
        std::fs::write(&second, "limits = { konnections = 9 }").unwrap();
        let error = load_layers::<Config>(&[first.clone(), second.clone()]).unwrap_err();
        assert_eq!((error.file, error.suggestion), (second.clone(), Some("connections".into())));
        let place = |key| find(std::slice::from_ref(&first), key).map(|(_, place)| place);
        assert_eq!((place("name"), place("limits.message_burst"), place("listen")), (Some((1, 1)), Some((4, 1)), None));
        check_modes(&second);
        std::fs::remove_dir_all(&dir).unwrap();
        assert_eq!(
            config,
            Config { name: "a".into(), listen: vec![], limits: Limits { connections: 9, message_burst: 2 } }
        );
    }

    #[cfg(unix)]
    fn check_modes(file: &Path) {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o666)).unwrap();
        assert!(load::<Config>(file).unwrap_err().problem.contains("anybody may write"));
    }

    #[cfg(not(unix))]
    fn check_modes(_: &Path) {}
}
