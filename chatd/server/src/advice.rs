//! What to type next after an error of the program: one command, or nothing where none would be right. Called by `main`.

use std::path::Path;
use std::{io, iter};

use chat_process::config::ConfigError;
use chat_process::exit;

use crate::StartError;
use crate::files::FileError;
use crate::keys::KeysError;
use crate::store::StoreError;

/// The command that helps. `program` is how the caller called: `chat-server --dir D`.
pub fn next(error: &anyhow::Error, program: &str, config: &Path) -> Option<String> {
    if error.downcast_ref::<ConfigError>().is_some() {
        return Some(if config.exists() {
            format!("{program} check config")
        } else {
            format!("{program} init --self-signed")
        });
    }
    if let Some(StartError::Listen { error, .. }) = error.downcast_ref()
        && error.kind() == io::ErrorKind::AddrInUse
    {
        return Some(format!("{program} run --listen 127.0.0.1:0"));
    }
    if let Some(StartError::Certificate { .. }) = error.downcast_ref() {
        return Some(format!("{program} cert self-signed"));
    }
    file(file_error(error)?, program)
}

fn file(error: &FileError, program: &str) -> Option<String> {
    match error {
        FileError::Exposed(path) => Some(format!("chmod 600 {}", path.display())),
        FileError::Exists(_) => Some(format!("{program} check config")),
        FileError::Io { path, error } if error.kind() == io::ErrorKind::NotFound => {
            let certificate = path.extension().is_some_and(|end| end == "pem");
            Some(format!("{program} {}", if certificate { "cert self-signed" } else { "init --self-signed" }))
        }
        FileError::Io { .. } => None,
    }
}

/// The file error in whatever it came wrapped in.
fn file_error(error: &anyhow::Error) -> Option<&FileError> {
    if let Some(StartError::File(file) | StartError::Keys(KeysError::File(file))) = error.downcast_ref() {
        return Some(file);
    }
    if let Some(KeysError::File(file)) = error.downcast_ref() {
        return Some(file);
    }
    error.downcast_ref()
}

/// Which code a failure ends with (sysexits.h).
pub fn code(error: &anyhow::Error) -> u8 {
    if let Some(start) = error.downcast_ref::<StartError>() {
        return start.exit();
    }
    if error.downcast_ref::<ConfigError>().is_some() {
        return exit::CONFIG;
    }
    if let Some(file) = file_error(error) {
        return StartError::exit_of_file(file);
    }
    match error.downcast_ref::<io::Error>() {
        Some(error) if error.kind() == io::ErrorKind::PermissionDenied => exit::PERMISSION,
        Some(_) => exit::OS,
        None => exit::CANNOT_CREATE,
    }
}

/// The error in words, without saying the same twice.
pub fn text(error: &anyhow::Error) -> String {
    if let Some(StartError::Store(StoreError::Locked(dir))) = error.downcast_ref() {
        return format!("another chat-server is running on {}", dir.display());
    }
    let mut said = String::new();
    for cause in iter::successors(Some(error.as_ref() as &dyn std::error::Error), |cause| cause.source()) {
        let cause = cause.to_string();
        if !said.contains(&cause) {
            let colon = if said.is_empty() { "" } else { ": " };
            said = format!("{said}{colon}{cause}");
        }
    }
    said
}
