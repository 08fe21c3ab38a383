//! What needs no chatd: directories, files, room, the configuration; then what makes it comfortable on this host.

use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use chat_local::directory::Rule;
use chat_local::endpoint::fits;

use super::Finding;
use crate::paths::Places;
use crate::settings;
use crate::units::systemd;
use crate::words::doctor as words;

/// Room below which chatd cannot keep a day's messages.
#[cfg(unix)]
const ROOM_LOW: u64 = 64 * 1024 * 1024;
/// Room below which nothing can be written.
#[cfg(unix)]
const ROOM_NONE: u64 = 1024 * 1024;
/// Descriptors that chatd needs for its connections and histories.
#[cfg(unix)]
const DESCRIPTORS: u64 = 256;
/// Files that are looked at: far more than there are.
const FILES_MAX: usize = 4096;

/// Directories, secrets, room, limits and the configuration.
pub fn files(places: &Places, chatctl: &str) -> Vec<Finding> {
    let layout = &places.layout;
    let mut found = Vec::new();
    let private = [&layout.data, &layout.state];
    let runtime = runtime(&socket(places));
    let wrong: Vec<Finding> =
        private.into_iter().chain(&runtime).filter_map(|dir| directory(dir)).chain(readable(&layout.config)).collect();
    match wrong.is_empty() {
        true => found.push(words::directories(&layout.data, &layout.state)),
        false => found.extend(wrong),
    }
    found.push(secrets(&private));
    if let Err(unfit) = fits(&socket(places)) {
        found.push(words::socket_unfit(&unfit, chatctl));
    }
    found.extend(surroundings());
    #[cfg(unix)]
    found.extend([room(&layout.data), descriptors()]);
    found.push(match settings::judge(places, None) {
        Ok(()) => words::config(&layout.config_file()),
        Err(trouble) => words::bad_config(&trouble, chatctl),
    });
    found
}

/// Where chatd is looked for, or would listen.
fn socket(places: &Places) -> PathBuf {
    places.explicit.clone().unwrap_or_else(|| places.layout.listen_path(Path::exists))
}

/// The directory of the socket.
#[cfg(unix)]
fn runtime(socket: &Path) -> Option<PathBuf> {
    socket.parent().map(Path::to_owned)
}

/// A pipe lies in no directory that is anybody's own.
#[cfg(windows)]
fn runtime(_socket: &Path) -> Option<PathBuf> {
    None
}

/// What is wrong with a directory that must be one's own; one that is not there is made when it is needed.
fn directory(dir: &Path) -> Option<Finding> {
    use chat_local::directory::{Directory, OpenError};
    match Directory::open(dir) {
        Ok(_) => (!is_writable(dir)).then(|| words::not_writable(dir)),
        Err(OpenError::Unsafe(broken)) => Some(words::not_safe(&broken)),
        Err(OpenError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            let there = dir.ancestors().find(|above| above.exists())?;
            (!is_writable(there)).then(|| words::cannot_be_made(dir, there))
        }
        Err(error) => Some(words::not_usable(dir, &error.to_string())),
    }
}

/// The directory of the configuration may be open to others, and must be readable.
fn readable(dir: &Path) -> Option<Finding> {
    match fs::read_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Some(words::not_usable(dir, &chat_local::refusal::cannot_use(dir, &error)))
        }
        _ => None,
    }
}

#[cfg(unix)]
fn is_writable(dir: &Path) -> bool {
    rustix::fs::access(dir, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).is_ok()
}

/// What a list of rights lets its owner do was looked at when it was opened.
#[cfg(windows)]
fn is_writable(_dir: &Path) -> bool {
    true
}

/// Keys, histories and logs are files: nobody else may have a way to them.
fn secrets(dirs: &[&PathBuf]) -> Finding {
    let mut files = Vec::new();
    dirs.iter().for_each(|dir| gather(dir, &mut files));
    match files.iter().find_map(|(path, meta)| Some((path, broken(meta)?))) {
        Some((path, rule)) => words::exposed(path, rule),
        None => words::credentials(files.len()),
    }
}

fn gather(dir: &Path, files: &mut Vec<(PathBuf, Metadata)>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        // Not followed: the latest log is a link beside the logs.
        match entry.metadata() {
            _ if files.len() >= FILES_MAX => return,
            Ok(meta) if meta.is_dir() => gather(&entry.path(), files),
            Ok(meta) if meta.is_file() => files.push((entry.path(), meta)),
            _ => {}
        }
    }
}

/// Whose file it is comes first: only its owner can close it to others.
#[cfg(unix)]
fn broken(meta: &Metadata) -> Option<Rule> {
    use std::os::unix::fs::MetadataExt as _;
    let foreign = meta.uid() != rustix::process::geteuid().as_raw();
    let open = meta.mode() & 0o077 != 0;
    foreign.then_some(Rule::Owner).or(open.then_some(Rule::Private))
}

/// They have the rights of their directory, which were looked at.
#[cfg(windows)]
fn broken(_meta: &Metadata) -> Option<Rule> {
    None
}

#[cfg(unix)]
fn room(dir: &Path) -> Finding {
    let there = dir.ancestors().find(|above| above.exists()).unwrap_or(dir);
    match rustix::fs::statvfs(there) {
        Err(error) => words::not_usable(there, &chat_local::refusal::cannot_use(there, &error.into())),
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            match (free, disk.f_favail, disk.f_files) {
                (..ROOM_NONE, ..) => words::no_room(there, free),
                (_, 0, 1..) => words::no_inodes(there),
                (..ROOM_LOW, ..) => words::little_room(there, free),
                _ => words::room(free),
            }
        }
    }
}

#[cfg(unix)]
fn descriptors() -> Finding {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    if limit < DESCRIPTORS { words::few_descriptors(limit, DESCRIPTORS) } else { words::descriptors(limit) }
}

/// Variables that are set and are not heeded.
fn surroundings() -> Option<Finding> {
    let names = ["XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"];
    let relative =
        |name: &&str| std::env::var_os(name).is_some_and(|path| !path.is_empty() && Path::new(&path).is_relative());
    names.into_iter().find(relative).map(words::relative_variable)
}

/// Whether chatd outlives a logout, and whether Tab completes.
pub fn comfort(places: &Places) -> Vec<Finding> {
    let mut found = Vec::new();
    if cfg!(target_os = "linux") && places.layout.home.is_none() {
        found.push(linger());
    }
    found.extend(completions());
    found
}

/// Only a unit ends at the logout of its user.
fn linger() -> Finding {
    match (systemd::is_enabled(), systemd::lingers()) {
        (true, true) => words::lingers(),
        (true, false) => words::does_not_linger(),
        (false, _) => words::no_unit(),
    }
}

/// Where a package puts a shell's completion of a program, and which file of the user's reads it otherwise.
const SHELLS: &[(&str, &[&str], &str)] = &[
    ("bash", &["/usr/share/bash-completion/completions/chatctl", "/etc/bash_completion.d/chatctl"], ".bashrc"),
    ("zsh", &["/usr/share/zsh/vendor-completions/_chatctl", "/usr/share/zsh/site-functions/_chatctl"], ".zshrc"),
    ("fish", &["/usr/share/fish/vendor_completions.d/chatctl.fish"], ".config/fish/config.fish"),
];

/// Of the user's own shell; nothing where that is one without completion.
fn completions() -> Option<Finding> {
    let shell = std::env::var("SHELL").ok()?;
    let name = Path::new(&shell).file_name()?.to_str()?;
    let (name, packaged, own) = SHELLS.iter().find(|(known, ..)| *known == name)?;
    let read = std::env::home_dir().map(|home| home.join(own));
    let line = words::completion_line(name).split('\'').nth(1).unwrap_or_default();
    let is_read = read.as_ref().is_some_and(|file| fs::read_to_string(file).is_ok_and(|text| text.contains(line)));
    if is_read || packaged.iter().any(|file| Path::new(file).exists()) {
        return Some(words::completes(name));
    }
    Some(words::does_not_complete(name))
}
