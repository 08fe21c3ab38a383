//! What may be the name of a control socket; where it is, `paths` says.

use std::path::{Path, PathBuf};

/// Bytes of a socket's path that the system takes: `sun_path` less the closing NUL, or the name of a pipe.
pub const SOCKET_PATH_MAX: usize = if cfg!(windows) {
    256
} else if cfg!(target_os = "linux") {
    107
} else {
    103
};

/// What the name of every pipe of this host begins with (Windows).
pub const PIPE_PREFIX: &str = r"\\.\pipe\";

/// A path that cannot be a control socket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Longer than the system takes.
    #[error("the socket path {} has {len} bytes and the system takes {SOCKET_PATH_MAX}; choose a shorter home or --socket", path.display())]
    TooLong {
        /// The path that was asked for.
        path: PathBuf,
        /// Its bytes.
        len: usize,
    },
    /// No pipe of this host (Windows): a file would be opened in its place, and another host would be told who we are.
    #[error("{} is no pipe of this host; the name of one begins with {PIPE_PREFIX}", path.display())]
    NotAPipe {
        /// The path that was asked for.
        path: PathBuf,
    },
}

/// Says whether the system takes `path` as that of a control socket. The caller decides what to use instead.
pub fn fits(path: &Path) -> Result<(), Unfit> {
    let len = path.as_os_str().len();
    if len > SOCKET_PATH_MAX {
        return Err(Unfit::TooLong { path: path.to_owned(), len });
    }
    if cfg!(windows) && !is_pipe(path) {
        return Err(Unfit::NotAPipe { path: path.to_owned() });
    }
    Ok(())
}

fn is_pipe(path: &Path) -> bool {
    let name = path.to_str().and_then(|path| path.strip_prefix(PIPE_PREFIX));
    name.is_some_and(|name| !name.is_empty() && !name.contains(['\\', '/']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_path_that_fits() {
        let root = if cfg!(windows) { PIPE_PREFIX } else { "/" };
        let longest = PathBuf::from(format!("{root}{}", "x".repeat(SOCKET_PATH_MAX - root.len())));
        assert_eq!(fits(&longest), Ok(()));
        let longer = PathBuf::from(format!("{}y", longest.display()));
        assert_eq!(fits(&longer), Err(Unfit::TooLong { path: longer.clone(), len: SOCKET_PATH_MAX + 1 }));
    }

    #[test]
    fn pipes_are_of_this_host_and_no_files() {
        assert!(is_pipe(Path::new(r"\\.\pipe\chat-S-1-5-21-1")));
        for other in
            [r"\\.\pipe\", r"\\evil\pipe\chat", r"\\.\pipe\..\C:\x", r"\\.\pipe\a/b", r"C:\x\sock", "/run/sock", ""]
        {
            assert!(!is_pipe(Path::new(other)), "{other}");
        }
    }
}
