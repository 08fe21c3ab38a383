//! How long the path of a control socket may be; where it is, `paths` says.

use std::path::{Path, PathBuf};

/// Bytes of a socket path that the system takes: `sun_path` less the closing NUL.
pub const SOCKET_PATH_MAX: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// A socket path longer than the system takes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the socket path {} has {len} bytes and the system takes {SOCKET_PATH_MAX}; choose a shorter home or --socket", path.display())]
pub struct TooLong {
    /// The path that was asked for.
    pub path: PathBuf,
    /// Its bytes.
    pub len: usize,
}

/// Says whether the system takes `path` as a socket path. The caller decides what to use instead.
pub fn fits(path: &Path) -> Result<(), TooLong> {
    let len = path.as_os_str().len();
    if cfg!(windows) || len <= SOCKET_PATH_MAX {
        return Ok(());
    }
    Err(TooLong { path: path.to_owned(), len })
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn the_longest_path_that_fits() {
        let longest = PathBuf::from(format!("/{}", "x".repeat(SOCKET_PATH_MAX - 1)));
        assert_eq!(fits(&longest), Ok(()));
        let longer = longest.join("y");
        assert_eq!(fits(&longer), Err(TooLong { path: longer.clone(), len: SOCKET_PATH_MAX + 2 }));
    }
}
