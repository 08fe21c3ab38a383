//! What the system refused to do with a file, in words for people: both sides of the control socket say it so.

use std::io;
use std::path::Path;

use chat_proto::display;

/// The system's refusal in words that name the file.
pub fn cannot_use(path: &Path, refusal: &io::Error) -> String {
    let path = path.display();
    match refusal.kind() {
        io::ErrorKind::NotFound => format!("{path} is not there"),
        io::ErrorKind::PermissionDenied => format!("{path} may not be made, read or written by this user"),
        io::ErrorKind::ReadOnlyFilesystem => format!("{path} lies on a file system that is read-only"),
        io::ErrorKind::StorageFull => format!("{path}: no space is left on the disk"),
        io::ErrorKind::QuotaExceeded => format!("{path}: your share of the disk is used up"),
        io::ErrorKind::NotADirectory => format!("{path}: something on the way to it is no directory"),
        _ => format!("{path}: {}", display::cause(&refusal.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_name_the_file_and_no_number() {
        let said = |error: io::Error| cannot_use(Path::new("/x"), &error);
        assert_eq!(said(io::ErrorKind::NotFound.into()), "/x is not there");
        assert_eq!(said(io::ErrorKind::ReadOnlyFilesystem.into()), "/x lies on a file system that is read-only");
        let odd = said(io::Error::from_raw_os_error(40));
        assert!(odd.starts_with("/x: ") && !odd.contains("os error"), "{odd}");
    }
}
