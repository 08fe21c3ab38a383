//! Commands that are shown to be typed where a file or directory is not what it must be: both sides of the control socket show the same.

use std::path::Path;

use chat_proto::display;

use crate::directory::Rule;

#[cfg(unix)]
#[path = "unix.rs"]
mod system;
#[cfg(windows)]
#[path = "windows.rs"]
mod system;

/// Makes a directory or file what this rule asks.
pub fn mended(rule: Rule, path: &Path) -> String {
    let name = word(path);
    match rule {
        Rule::Private => system::private(&name),
        Rule::Owner => system::owned(&name),
        Rule::NoLink | Rule::Directory | Rule::RegularFile | Rule::OneLink => system::aside(&name),
    }
}

/// Frees a place without losing what has it.
pub fn aside(path: &Path) -> String {
    system::aside(&word(path))
}

/// Shows whose something is and who may do what with it.
pub fn look(path: &Path) -> String {
    system::look(&word(path))
}

fn word(path: &Path) -> String {
    display::quoted(&path.to_string_lossy())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn each_rule_has_its_command_and_names_are_quoted() {
        let path = Path::new("/home/al ice/x");
        assert_eq!(mended(Rule::Private, path), "chmod go= '/home/al ice/x'");
        assert_eq!(mended(Rule::NoLink, path), "mv '/home/al ice/x' '/home/al ice/x'.old");
        assert_eq!(look(path), "ls -ld '/home/al ice/x'");
        let owner = mended(Rule::Owner, path);
        let user = rustix::process::geteuid();
        match user.is_root() {
            true => assert_eq!(owner, "chown 0 '/home/al ice/x'"),
            false => assert_eq!(owner, format!("sudo chown {} '/home/al ice/x'", user.as_raw())),
        }
    }
}
