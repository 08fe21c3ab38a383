//! chatd as a unit of the user's own systemd: the files that say so, and the calls that make it so. `doctor` asks whether it is so. The
//! texts are those that the packages ship; only the program's path is another.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Failure, Undone, run, uid};

/// The units as shipped, for a chatd in /usr/bin.
const SHIPPED: &[(&str, &str)] = &[
    (SERVICE, include_str!("../../../packaging/systemd/user/chatd.service")),
    ("chatd-sweep.service", include_str!("../../../packaging/systemd/user/chatd-sweep.service")),
    (SOCKET, include_str!("../../../packaging/systemd/user/chatd.socket")),
];
const SERVICE: &str = "chatd.service";
const SOCKET: &str = "chatd.socket";
/// The program that the shipped texts name.
const SHIPPED_PROGRAM: &str = "/usr/bin/chatd";
/// Where packages put units of users.
const PACKAGED: &[&str] = &["/usr/local/lib/systemd/user", "/usr/lib/systemd/user", "/etc/systemd/user"];
/// The first line of a file that is ours: nothing else is overwritten or removed.
const MARK: &str = "# Written by chatctl daemon install. To remove it: chatctl daemon uninstall";
/// The second one, where lingering was switched on along with it.
const LINGERS: &str = "# Lingering was switched on for it.";
/// Says the same beside units that a package has brought: there it is all that is ours, and says nothing to the manager.
const NOTE: &str = "chatd.service.d/lingers.conf";

/// The user's units.
pub struct Units {
    folder: PathBuf,
}

impl Units {
    /// Below the directory of configurations; `Err` where no service manager of this user answers.
    pub fn of(configurations: &Path) -> Result<Units, Failure> {
        match run("systemctl", &["--user", "show-environment"]) {
            Ok(_) => Ok(Units { folder: configurations.join("systemd/user") }),
            Err(Failure::Program(_, why)) => Err(Failure::NoManager(why)),
            Err(other) => Err(other),
        }
    }

    /// Writes the files for this chatd; where a package's units name the same program, at most a note that lingering came with it.
    pub fn write(&self, program: &Path, lingers: bool) -> Result<(), Failure> {
        self.write_beside(is_packaged(program), program, lingers)
    }

    fn write_beside(&self, packaged: bool, program: &Path, lingers: bool) -> Result<(), Failure> {
        if let Some(foreign) = self.files().find(|file| file.exists() && !is_ours(file)) {
            return Err(Failure::Foreign(foreign));
        }
        // Installed once more it knows still what the first time switched on.
        let lingers = lingers || self.lingered();
        match packaged {
            true if lingers => self.put(NOTE, &written("", program, true)),
            true => Ok(()),
            false => SHIPPED.iter().try_for_each(|(name, text)| self.put(name, &written(text, program, lingers))),
        }
    }

    fn put(&self, name: &str, text: &str) -> Result<(), Failure> {
        let file = self.folder.join(name);
        let folder = file.parent().unwrap_or(&self.folder);
        let written = fs::create_dir_all(folder).and_then(|()| fs::write(&file, text));
        written.map_err(|error| Failure::File(file, error))
    }

    /// Whether chatd starts with the user's sessions. The socket alone may be a package's, for every user.
    pub fn is_installed(&self) -> bool {
        run("systemctl", &["--user", "is-enabled", SERVICE]).is_ok()
    }

    /// Has the manager listen for chatctl, and start chatd with the user's sessions.
    pub fn enable(&self) -> Result<(), Failure> {
        run("systemctl", &["--user", "daemon-reload"])?;
        run("systemctl", &["--user", "reset-failed", SERVICE, SOCKET]).ok();
        run("systemctl", &["--user", "enable", "--now", SOCKET, SERVICE]).map(drop)
    }

    /// Every file that may be ours.
    fn files(&self) -> impl Iterator<Item = PathBuf> {
        SHIPPED.iter().map(|(name, _)| *name).chain([NOTE]).map(|name| self.folder.join(name))
    }

    /// Whether lingering was switched on along with our files.
    fn lingered(&self) -> bool {
        let says = |file: &Path| head(file).is_some_and(|head| head.starts_with(MARK) && head.contains(LINGERS));
        self.files().any(|file| says(&file))
    }

    /// Undoes all of it.
    pub fn disable(&self) -> Result<Undone, Failure> {
        let ours: Vec<PathBuf> = self.files().filter(|file| is_ours(file)).collect();
        let (changed, lingered) = (!ours.is_empty() || is_enabled(), self.lingered());
        if changed {
            run("systemctl", &["--user", "disable", "--now", SOCKET, SERVICE])?;
        }
        for file in &ours {
            fs::remove_file(file).map_err(|error| Failure::File(file.clone(), error))?;
        }
        // It stays where others have put something beside the note.
        self.folder.join(NOTE).parent().map(fs::remove_dir).and_then(Result::ok);
        run("systemctl", &["--user", "daemon-reload"])?;
        Ok(Undone { changed, lingered, packaged: is_enabled() })
    }
}

/// Whether the manager listens for chatctl in the user's sessions.
pub fn is_enabled() -> bool {
    run("systemctl", &["--user", "is-enabled", SOCKET]).is_ok_and(|word| word.trim() == "enabled")
}

/// Whether this user's units stay when he logs out.
pub fn lingers() -> bool {
    let uid = uid();
    run("loginctl", &["show-user", &uid, "--property=Linger", "--value"]).is_ok_and(|word| word.trim() == "yes")
}

/// Switches that on or off.
pub fn linger(on: bool) -> Result<(), Failure> {
    run("loginctl", &[if on { "enable-linger" } else { "disable-linger" }]).map(drop)
}

/// The last lines that the user's journal has of chatd.
pub fn journal(lines: usize) -> Option<Vec<String>> {
    let lines = lines.to_string();
    let asked = ["--user", "--unit", SERVICE, "--lines", &lines, "--output", "short-iso", "--no-pager", "--quiet"];
    let text = run("journalctl", &asked).ok()?;
    Some(text.lines().map(str::to_owned).collect())
}

fn written(text: &str, program: &Path, lingers: bool) -> String {
    let text = text.replace(SHIPPED_PROGRAM, &as_word(program));
    let lingers = if lingers { format!("{LINGERS}\n") } else { String::new() };
    format!("{MARK}\n{lingers}{text}")
}

/// A path as systemd takes it in a command line (systemd.service(5), "Command lines").
fn as_word(path: &Path) -> String {
    let text = path.to_string_lossy().replace('\\', r"\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$");
    if text.contains([' ', '\t', '\'', '"', '\\']) { format!("\"{text}\"") } else { text }
}

fn head(file: &Path) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    Some(text.lines().take(2).collect::<Vec<_>>().join("\n"))
}

fn is_ours(file: &Path) -> bool {
    head(file).is_some_and(|head| head.starts_with(MARK))
}

/// A package has brought the units for this very program.
fn is_packaged(program: &Path) -> bool {
    program == Path::new(SHIPPED_PROGRAM) && PACKAGED.iter().any(|folder| Path::new(folder).join(SOCKET).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_texts_name_the_program_once_and_take_another() {
        let (_, service) = SHIPPED[0];
        for (name, text) in SHIPPED.iter().filter(|(name, _)| *name != SOCKET) {
            assert_eq!(text.matches(SHIPPED_PROGRAM).count(), 1, "{name}: {text}");
        }
        let text = written(service, Path::new("/opt/50% of it/chatd"), true);
        assert!(text.starts_with(&format!("{MARK}\n{LINGERS}\n[Unit]")), "{text}");
        assert!(text.contains("ExecStart=\"/opt/50%% of it/chatd\" --foreground"), "{text}");
        assert!(!text.contains(SHIPPED_PROGRAM));
    }

    #[test]
    fn written_again_it_knows_still_that_lingering_came_with_it() {
        let dir = tempfile::tempdir().expect("a directory to play in");
        let units = Units { folder: dir.path().join("user") };
        let program = Path::new("/opt/chatd");
        units.write(program, false).expect("written");
        assert!(!units.lingered());
        for lingers in [true, false] {
            units.write(program, lingers).expect("written");
            assert!(units.lingered());
        }
    }

    #[test]
    fn beside_the_units_of_a_package_lingering_is_remembered_too() {
        let dir = tempfile::tempdir().expect("a directory to play in");
        let units = Units { folder: dir.path().join("user") };
        let program = Path::new(SHIPPED_PROGRAM);
        let write = |lingers| units.write_beside(true, program, lingers).map_err(|failure| format!("{failure:?}"));
        write(false).expect("nothing to write");
        assert!(!units.folder.exists() && !units.lingered());
        for lingers in [true, false] {
            write(lingers).expect("written");
            assert!(units.lingered());
        }
        assert!(!units.folder.join(SERVICE).exists(), "the package's own would be hidden by it");
        fs::write(units.folder.join(NOTE), "[Service]\n").expect("written");
        assert!(write(true).is_err(), "what others wrote is not overwritten");
    }

    #[test]
    fn only_files_of_its_own_are_ours() {
        let dir = tempfile::tempdir().expect("a directory to play in");
        let file = dir.path().join(SERVICE);
        assert!(!is_ours(&file));
        fs::write(&file, "[Unit]\n").expect("written");
        assert!(!is_ours(&file));
        fs::write(&file, written("[Unit]\n", Path::new("/x"), false)).expect("written");
        assert!(is_ours(&file));
    }
}
