//! Small private files that are replaced whole: a reader sees the old or the new one, and a power cut leaves one of them.

use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use chat_local::directory::{Directory, OpenError};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Bytes read of one file: what chatd writes is far below.
const SIZE_MAX: u64 = 4 * 1024 * 1024;

/// The file's content; `None` when there is none.
pub(crate) fn read(directory: &Path, name: &str) -> Result<Option<Vec<u8>>, OpenError> {
    let opened = Directory::open(directory).and_then(|dir| dir.open_file(name, false));
    match opened {
        Ok(file) => {
            // Its room at once: one that grows would leave pieces of a secret behind.
            let length = file.metadata().map_or(0, |metadata| metadata.len()).min(SIZE_MAX);
            let mut content = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
            match file.take(SIZE_MAX).read_to_end(&mut content) {
                Ok(_) => Ok(Some(content)),
                Err(source) => Err(OpenError::Io { path: directory.join(name), source }),
            }
        }
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
        // Not every Windows renames what is open.
        drop(file);
        dir.rename(&draft, name)?;
        dir.sync()
    })();
    written.map_err(|source: io::Error| OpenError::Io { path: directory.join(name), source })
}

/// The content of a file in JSON, held in memory too. Not an owner task: every use is a look-up or one small file, from the tasks of
/// several profiles.
pub(crate) struct Held<C> {
    directory: PathBuf,
    name: &'static str,
    content: Mutex<C>,
}

impl<C: Clone + Default + PartialEq + Serialize + DeserializeOwned> Held<C> {
    /// Reads the file; where there is none, the content is the default.
    pub fn load(directory: &Path, name: &'static str) -> Result<Held<C>, OpenError> {
        let content = match read(directory, name)? {
            None => C::default(),
            Some(bytes) => serde_json::from_slice(&bytes)
                .map_err(|error| OpenError::Io { path: directory.join(name), source: error.into() })?,
        };
        Ok(Held { directory: directory.to_owned(), name, content: Mutex::new(content) })
    }

    pub fn lock(&self) -> MutexGuard<'_, C> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the content durably, or not at all. Where it stays as it was nothing is written.
    pub fn change<A>(&self, edit: impl FnOnce(&mut C) -> A) -> Result<A, OpenError> {
        let mut held = self.lock();
        let mut content = held.clone();
        let answer = edit(&mut content);
        if content != *held {
            let bytes = serde_json::to_vec_pretty(&content)
                .map_err(|error| OpenError::Io { path: self.directory.join(self.name), source: error.into() })?;
            replace(&self.directory, self.name, &bytes)?;
            *held = content;
        }
        Ok(answer)
    }
}
