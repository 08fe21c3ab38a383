//! What to type next after an error of the program: one command, or nothing where none would be right. Called by `main`.

use std::path::Path;
use std::{io, iter};

use chat_process::config::ConfigError;
use chat_process::descriptors::TooFew;
use chat_process::exit;
use chat_proto::display;
use chat_proto::fault::Code;
use serde::Serialize;

use crate::StartError;
use crate::admin::{Allowed, AskError, words};
use crate::backup::BackupError;
use crate::files::FileError;
use crate::keys::KeysError;
use crate::listen::HandedError;
use crate::store::StoreError;

/// EMFILE and ENFILE: the process, or the system, has no more descriptors.
const EXHAUSTED: [i32; 2] = [rustix::io::Errno::MFILE.raw_os_error(), rustix::io::Errno::NFILE.raw_os_error()];
/// Exit code of a verb whose files are no good, as chatctl's.
const BAD_STATE: u8 = 14;

/// A failure of a verb itself, with its own code.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct Trouble {
    exit: u8,
    code: &'static str,
    text: String,
}

impl Trouble {
    /// Ends with `exit`; `code` is its name for scripts, `text` what people read.
    pub fn new(exit: u8, code: &'static str, text: impl Into<String>) -> Trouble {
        Trouble { exit, code, text: text.into() }
    }
}

/// What the caller typed.
pub struct Asked<'a> {
    /// The program with its global options: `chat-server --dir D`.
    pub program: String,
    /// All of it.
    pub typed: String,
    /// The configuration that it means.
    pub config: &'a Path,
}

/// The command that helps.
pub fn next(error: &anyhow::Error, asked: &Asked<'_>) -> Option<String> {
    let program = &asked.program;
    if let Some(error) = error.downcast_ref::<AskError>()
        && !matches!(error, AskError::Start(_))
    {
        return words::next(error, program, &asked.typed);
    }
    if is_short_of_descriptors(error) {
        return Some("ulimit -n 4096".into());
    }
    if let Some(path) = unreadable(error) {
        return Allowed::of(path).map(|allowed| format!("{} {}", allowed.sudo(), asked.typed));
    }
    if error.downcast_ref::<ConfigError>().is_some() {
        return Some(if asked.config.exists() {
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
    if let Some(StartError::NotHanded(door)) = error.downcast_ref() {
        return Some(format!("systemctl enable --now {}", door.unit()));
    }
    if let Some(StartError::Handed(HandedError::Wrong { door, .. })) = error.downcast_ref() {
        return Some(format!("systemctl edit {}", door.unit()));
    }
    if let Some(StartError::Sandbox(_)) = start_error(error) {
        return Some(format!("write sandbox = \"off\" into {} to run without it", asked.config.display()));
    }
    if let Some(StartError::HalfRestored(backup)) = start_error(error) {
        return Some(format!("{program} restore {}", display::quoted(&backup.to_string_lossy())));
    }
    match start_error(error) {
        Some(StartError::Store(StoreError::Newer { .. })) => return Some(format!("{program} backup list")),
        Some(StartError::Store(StoreError::Database(_) | StoreError::File { .. })) => {
            return Some(format!("{program} check storage"));
        }
        _ => {}
    }
    if let Some(error) = error.downcast_ref::<BackupError>() {
        return backup(error, program);
    }
    if let Some(StartError::Certificate { .. }) = error.downcast_ref() {
        return Some(format!("{program} cert self-signed"));
    }
    file(file_error(error)?, program)
}

fn backup(error: &BackupError, program: &str) -> Option<String> {
    match error {
        BackupError::None(_) => Some(format!("{program} backup create")),
        BackupError::InUse(_) => Some(format!("{program} stop")),
        BackupError::Broken { .. } | BackupError::Config(_) => Some(format!("{program} backup list")),
        BackupError::Stays { made, dir, .. } => {
            let quoted = |path: &Path| display::quoted(&path.to_string_lossy());
            Some(format!("sudo mv {} {}", quoted(made), quoted(dir)))
        }
        BackupError::Io { .. } | BackupError::Store(_) => Some(format!("{program} check storage")),
        BackupError::File(error) | BackupError::Keys(KeysError::File(error)) => file(error, program),
        BackupError::Keys(_) => None,
    }
}

fn file(error: &FileError, program: &str) -> Option<String> {
    match error {
        FileError::Exposed(path) => Some(format!("chmod 600 {}", display::quoted(&path.to_string_lossy()))),
        FileError::Exists(_) => Some(format!("{program} check config")),
        FileError::Io { path, error } if error.kind() == io::ErrorKind::NotFound => {
            let certificate = path.extension().is_some_and(|end| end == "pem");
            Some(format!("{program} {}", if certificate { "cert self-signed" } else { "init --self-signed" }))
        }
        FileError::Io { .. } => None,
    }
}

/// The configuration that is not for this user: nothing is wrong with it.
fn unreadable(error: &anyhow::Error) -> Option<&Path> {
    let config: &ConfigError = error.downcast_ref()?;
    let looked = std::fs::File::open(&config.file).err()?;
    (looked.kind() == io::ErrorKind::PermissionDenied).then_some(config.file.as_path())
}

/// The system gives this process no more open files.
fn is_short_of_descriptors(error: &anyhow::Error) -> bool {
    let refused = |error: &io::Error| error.raw_os_error().is_some_and(|number| EXHAUSTED.contains(&number));
    error.downcast_ref::<TooFew>().is_some()
        || error.chain().any(|cause| cause.downcast_ref::<io::Error>().is_some_and(refused))
}

/// The error of a start, whoever wanted it.
fn start_error(error: &anyhow::Error) -> Option<&StartError> {
    match error.downcast_ref() {
        Some(AskError::Start(start)) => Some(start),
        _ => error.downcast_ref(),
    }
}

/// The file error in whatever it came wrapped in.
fn file_error(error: &anyhow::Error) -> Option<&FileError> {
    if let Some(StartError::File(file) | StartError::Keys(KeysError::File(file))) = start_error(error) {
        return Some(file);
    }
    if let Some(KeysError::File(file)) = error.downcast_ref() {
        return Some(file);
    }
    error.downcast_ref()
}

/// Which code a failure ends with (sysexits.h).
pub fn code(error: &anyhow::Error) -> u8 {
    if let Some(error) = error.downcast_ref::<AskError>() {
        return words::code(error);
    }
    if let Some(trouble) = error.downcast_ref::<Trouble>() {
        return trouble.exit;
    }
    if let Some(start) = error.downcast_ref::<StartError>() {
        return start.exit();
    }
    if unreadable(error).is_some() {
        return exit::PERMISSION;
    }
    if error.downcast_ref::<ConfigError>().is_some() {
        return exit::CONFIG;
    }
    if let Some(error) = error.downcast_ref::<BackupError>() {
        return match error {
            BackupError::None(_) => 6,
            BackupError::InUse(_) => 7,
            _ => BAD_STATE,
        };
    }
    if let Some(file) = file_error(error) {
        return StartError::exit_of_file(file);
    }
    match error.downcast_ref::<io::Error>() {
        Some(error) if error.kind() == io::ErrorKind::PermissionDenied => exit::PERMISSION,
        Some(_) => exit::OS,
        None if is_short_of_descriptors(error) => exit::OS,
        None => exit::CANNOT_CREATE,
    }
}

/// The error in words, without saying the same twice, and without the system's numbers.
pub fn text(error: &anyhow::Error) -> String {
    if let Some(StartError::Store(StoreError::Locked(dir))) = start_error(error) {
        return format!("another chat-server is running on {}", dir.display());
    }
    if let Some(error) = error.downcast_ref::<AskError>() {
        return words::text(error);
    }
    if let Some(path) = unreadable(error) {
        return format!("{} may not be read by this user", path.display());
    }
    let mut said = match error.downcast_ref::<io::Error>() {
        Some(_) => "the system refuses what chat-server needs".to_owned(),
        None => String::new(),
    };
    for cause in iter::successors(Some(error.as_ref() as &dyn std::error::Error), |cause| cause.source()) {
        let cause = cause.to_string();
        // What the database says of its own error is said before.
        let cause = cause.split_once(": Error code ").map_or(cause.as_str(), |(cause, _)| cause);
        if !said.contains(cause) {
            let colon = if said.is_empty() { "" } else { ": " };
            said = format!("{said}{colon}{cause}");
        }
    }
    display::cause(&said).into_owned()
}

/// The error as scripts get it: one object.
pub fn json(error: &anyhow::Error, text: &str, next: Option<&str>) -> String {
    let (code, retry_after_ms) = match error.downcast_ref::<AskError>() {
        Some(AskError::Refused { refusal, .. }) => (refusal.code.name(), refusal.retry_after_ms),
        Some(error) => (words::name(error), None),
        None if let Some(trouble) = error.downcast_ref::<Trouble>() => (trouble.code, None),
        None if error.downcast_ref::<ConfigError>().is_some() => (Code::BAD_CONFIG.name(), None),
        None if error.downcast_ref::<BackupError>().is_some() => ("bad_backup", None),
        None => ("failed", None),
    };
    let failure =
        Failure { v: 1, r#type: "error", code, message: text, hint: next, exit: self::code(error), retry_after_ms };
    serde_json::to_string(&failure).unwrap_or_default()
}

/// An error as it is printed, in this order.
#[derive(Serialize)]
struct Failure<'a> {
    v: u32,
    r#type: &'static str,
    code: &'a str,
    message: &'a str,
    hint: Option<&'a str>,
    exit: u8,
    retry_after_ms: Option<u64>,
}
