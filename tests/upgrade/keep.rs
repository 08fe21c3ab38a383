//! Towns that were made before, laid down anew: copied from a directory, or written from the text that `kept/` holds. Everything that
//! names the directory or the port of the old place names the new one afterwards.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use chat_tests::World;
use chat_tests::server::free_port;
use serde_json::Value;

use crate::dump::{dumped, hex, restored};
use crate::town::{Town, world_around};

/// The file with what is known of a kept town.
const KNOWN: &str = "town.json";
/// The file with the mode and name of everything that is kept.
const MODES: &str = "modes";
/// What a kept text has in place of the directory and of the port.
const PLACE: (&str, &str) = ("@DIR@", "@PORT@");

/// A copy of a stopped town, byte by byte save for its place.
pub fn copy(town: &Town) -> Town {
    let from = town.world.path("");
    laid_down(&town.known(), |to| copy_all(&from, to))
}

/// A town from its text.
pub fn unpacked(kept: &Path) -> Town {
    let known = fs::read_to_string(kept.join(KNOWN)).expect("a kept town");
    laid_down(&serde_json::from_str(&known).expect("JSON"), |to| unpack(kept, to))
}

fn laid_down(known: &Value, lay: impl FnOnce(&Path)) -> Town {
    let port = free_port();
    let mut place = None;
    let world: World = world_around(port, |to| {
        lay(to);
        let moved = Move::new(known, to, port);
        moved.all(to);
        place = Some(moved);
    });
    let known = place.expect("laid down").text(&known.to_string());
    Town::found(world, &serde_json::from_str(&known).expect("JSON"))
}

/// From one place to another.
struct Move {
    dir: (String, String),
    port: (String, String),
}

impl Move {
    fn new(known: &Value, to: &Path, port: u16) -> Move {
        let old = known["dir"].as_str().expect("a directory");
        let was = known["port"].as_u64().map_or_else(|| PLACE.1.to_owned(), |port| port.to_string());
        Move::between((old, &was), (&to.display().to_string(), &port.to_string()))
    }

    fn between(old: (&str, &str), new: (&str, &str)) -> Move {
        let pair = |old: &str, new: &str| (old.to_owned(), new.to_owned());
        Move { dir: pair(old.0, new.0), port: pair(&format!("127.0.0.1:{}", old.1), &format!("127.0.0.1:{}", new.1)) }
    }

    fn text(&self, text: &str) -> String {
        text.replace(&self.dir.0, &self.dir.1).replace(&self.port.0, &self.port.1)
    }

    /// In every text below `dir`.
    fn all(&self, dir: &Path) {
        for file in files(dir) {
            if let Ok(text) = fs::read_to_string(&file) {
                let moved = self.text(&text);
                if moved != text {
                    fs::write(&file, moved).expect("our file");
                }
            }
        }
    }
}

/// Files below `dir`, in the order of their names.
fn files(dir: &Path) -> Vec<PathBuf> {
    everything(dir).into_iter().filter(|path| path.is_file()).collect()
}

/// Files and folders below `dir`, each folder before what it holds; no sockets.
fn everything(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    found.sort();
    let inside = |path: PathBuf| {
        let below = if path.is_dir() { everything(&path) } else { Vec::new() };
        std::iter::once(path).chain(below)
    };
    let is_socket = |path: &PathBuf| fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket());
    found.into_iter().filter(|path| !is_socket(path)).flat_map(inside).collect()
}

fn copy_all(from: &Path, to: &Path) {
    for path in everything(from) {
        let target = to.join(path.strip_prefix(from).expect("below"));
        if path.is_dir() {
            fs::create_dir_all(&target).expect("our folder");
            mode(&target, mode_of(&path));
        } else {
            // the mode goes with it
            fs::copy(&path, &target).expect("a copy");
        }
    }
}

fn mode_of(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o7777
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("our file");
}

/// What a stopped town is made of, as text: databases as SQL, other files as they are or in hexadecimal digits.
pub fn pack(town: &Town, to: &Path) {
    let from = town.world.path("");
    let mut known = town.known();
    let (dir, port) = (known["dir"].as_str().expect("a directory").to_owned(), known["port"].to_string());
    let out = Move::between((&dir, &port), PLACE);
    (known["dir"], known["port"]) = (PLACE.0.into(), PLACE.1.into());
    let mut modes = String::new();
    fs::create_dir_all(to).expect("our folder");
    for path in everything(&from).iter().filter(|path| is_kept(path)) {
        let name = path.strip_prefix(&from).expect("below").display().to_string();
        modes += &format!("{:o} {name}{}\n", mode_of(path), if path.is_dir() { "/" } else { "" });
        if path.is_dir() {
            continue;
        }
        let keep = |ending: &str, text: &str| {
            let flat = to.join(format!("{}.{ending}", name.replace('/', "%")));
            fs::write(flat, out.text(text)).expect("our file");
        };
        if name.ends_with(".db") {
            keep("sql", &dumped(path));
            continue;
        }
        match String::from_utf8(fs::read(path).expect("a file")) {
            Ok(text) => keep("text", &text),
            Err(other) => keep("hex", &(hex(other.as_bytes()) + "\n")),
        }
    }
    fs::write(to.join(MODES), modes).expect("our file");
    let known = out.text(&serde_json::to_string_pretty(&known).expect("JSON"));
    fs::write(to.join(KNOWN), known + "\n").expect("our file");
}

/// Not logs, what only a running process needs, and what databases leave beside them.
fn is_kept(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let gone = ["log", "db-wal", "db-shm", "lock", "taken", "new"];
    let passing = ["endpoint.json", "ballast", "listen", "pid", "lock"];
    !gone.iter().any(|ending| name.rsplit_once('.').is_some_and(|(_, end)| end == *ending))
        && !passing.contains(&&*name)
}

fn unpack(kept: &Path, to: &Path) {
    let modes = fs::read_to_string(kept.join(MODES)).expect("modes");
    let rows = modes.lines().map(|line| line.split_once(' ').expect("a mode and a name"));
    let rows: Vec<(u32, &str)> =
        rows.map(|(bits, name)| (u32::from_str_radix(bits, 8).expect("a mode"), name)).collect();
    for (_, name) in &rows {
        if let Some(folder) = name.strip_suffix('/') {
            fs::create_dir_all(to.join(folder)).expect("our folder");
            continue;
        }
        let flat = |ending: &str| kept.join(format!("{}.{ending}", name.replace('/', "%")));
        if let Ok(sql) = fs::read_to_string(flat("sql")) {
            restored(&sql.replace(PLACE.0, &to.display().to_string()), &to.join(name));
        } else if let Ok(digits) = fs::read_to_string(flat("hex")) {
            fs::write(to.join(name), unhex(&digits)).expect("our file");
        } else {
            fs::copy(flat("text"), to.join(name)).expect("kept");
        }
    }
    // folders last: one may be closed to writing
    for (bits, name) in rows.iter().rev() {
        mode(&to.join(name), *bits);
    }
}

fn unhex(digits: &str) -> Vec<u8> {
    let digits = digits.trim();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("digits")).collect()
}
