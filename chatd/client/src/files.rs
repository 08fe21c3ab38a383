//! Small private files that are replaced whole: a reader sees the old or the new one, and a power cut leaves one of them.

use std::io::{self, Read as _, Write as _};
use std::path::Path;

use chat_local::directory::{Directory, OpenError};

/// Bytes read of one file: what chatd writes is far below.
const SIZE_MAX: u64 = 4 * 1024 * 1024;

/// The file's content; `None` when there is none.
pub(crate) fn read(directory: &Path, name: &str) -> Result<Option<Vec<u8>>, OpenError> {
    let opened = Directory::open(directory).and_then(|dir| dir.open_file(name, false));
    let mut content = Vec::new();
    match opened {
        Ok(file) => match file.take(SIZE_MAX).read_to_end(&mut content) {
            Ok(_) => Ok(Some(content)),
            Err(source) => Err(OpenError::Io { path: directory.join(name), source }),
        },
        Err(OpenError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Puts `content` in the place of the file, durably.
pub(crate) fn replace(directory: &Path, name: &str, content: &[u8]) -> Result<(), OpenError> {
    let dir = Directory::create(directory)?;
    let draft = format!("{name}.new");
    let mut file = dir.open_file(&draft, true)?;
    let written = (|| {
        file.set_len(0)?;
        file.write_all(content)?;
        file.sync_all()?;
        dir.rename(&draft, name)?;
        Ok(rustix::fs::fsync(&dir)?)
    })();
    written.map_err(|source: io::Error| OpenError::Io { path: directory.join(name), source })
}
