//! Backups: one file with configuration, keys, certificate and database, that no cut and no full disk leaves half made. Called
//! by the operator's verbs, in the running server and beside a stopped one. Everything here blocks.

mod archive;
pub mod restore;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use archive::Source;
pub use archive::{Item, Manifest};

use crate::config::Config;
use crate::files::{self, FileError};
use crate::keys::{self, KeysError};
use crate::store::sqlite::whole;
use crate::store::{Contents, StoreError};

/// How the names of backups begin and end.
const PREFIX: &str = "chat-server-";
const SUFFIX: &str = ".tar.zst";
/// The directory in which one is being made.
const UNFINISHED: &str = ".unfinished-";

/// Names in the archive.
pub(crate) const CONFIG: &str = "config/chat-server.toml";
pub(crate) const DROP_INS: &str = "config/chat-server.d/";
pub(crate) const IDENTITY: &str = "data/identity.key";
pub(crate) const DATABASE: &str = "data/chat-server.db";
pub(crate) const CREDENTIALS: &str = "config/credentials.txt";
pub(crate) const CERT: &str = "tls/fullchain.pem";
pub(crate) const KEY: &str = "tls/privkey.pem";

/// Why there is no backup, or none that can be used.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file of the archive or of the place for it.
    #[error("{}: {}", path.display(), files::said(error))]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The server's key.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The file is no good.
    #[error("{} cannot be used: {what}", path.display())]
    Broken {
        /// The backup.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// It was made and lies where the server could put it.
    #[error("the backup is {}; it could not be moved to {}: {}", made.display(), dir.display(), files::said(error))]
    Stays {
        /// The backup.
        made: PathBuf,
        /// Where it was wanted.
        dir: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// There is no backup at all.
    #[error("there is no backup in {}", .0.display())]
    None(PathBuf),
    /// What it holds cannot be put where it belongs.
    #[error("{} is in use; nothing was changed", .0.display())]
    InUse(PathBuf),
    /// The configuration in it.
    #[error("the configuration in it: {0}")]
    Config(#[from] chat_process::config::ConfigError),
}

impl BackupError {
    fn io(path: &Path, error: io::Error) -> BackupError {
        BackupError::Io { path: path.to_owned(), error }
    }

    fn broken(path: &Path, what: String) -> BackupError {
        BackupError::Broken { path: path.to_owned(), what }
    }
}

/// A backup as a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Where it is.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// What is in it.
    pub manifest: Manifest,
}

/// Makes a backup in `dir`. `copy` copies the database into a new file. `now_ms` names it.
pub fn create(
    config: &Config,
    dir: &Path,
    now_ms: i64,
    copy: impl FnOnce(&Path) -> Result<(), StoreError>,
) -> Result<Made, BackupError> {
    files::make_dir(dir, 0o700)?;
    clear(dir);
    let stage = Stage::new(dir, now_ms)?;
    let db = stage.0.join("chat-server.db");
    copy(&db)?;
    let contents = whole::contents(&db)?;
    let entries = gather(config, db)?;
    let items = entries.iter().map(|(name, source)| source.item(name).map_err(|error| BackupError::io(dir, error)));
    let items = items.collect::<Result<_, _>>()?;
    let fingerprint = keys::load(&config.data)?.identity.id().fingerprint().to_string();
    let mut manifest = archive::manifest(now_ms, &config.name, fingerprint, items);
    (manifest.schema, manifest.users, manifest.queued) = (contents.schema, contents.accounts, contents.queued);
    let sources: Vec<Source> = entries.into_iter().map(|(_, source)| source).collect();
    let path = free_name(dir, now_ms);
    let bytes = finish(&stage, &path, &manifest, &sources).map_err(|error| BackupError::io(&path, error))?;
    Ok(Made { path, bytes, manifest })
}

/// Makes the directory where a backup is wanted, and makes sure that one can be put there.
pub fn ready(dir: &Path) -> Result<(), BackupError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|error| BackupError::io(dir, error))?;
    Stage::new(dir, 0).map(drop)
}

/// Moves a backup of this time into `dir`, over whatever lies between: on the disk there before it goes here. Answers where it is now.
pub fn take_away(made: &Path, created_ms: i64, dir: &Path) -> Result<PathBuf, BackupError> {
    let stays = |error| BackupError::Stays { made: made.to_owned(), dir: dir.to_owned(), error };
    clear(dir);
    let path = free_name(dir, created_ms);
    let stage = Stage::new(dir, 0)?;
    let fresh = stage.0.join("archive");
    let copy = || {
        let mut to = create_private(&fresh)?;
        io::copy(&mut File::open(made)?, &mut to)?;
        to.sync_all()?;
        // Never over another one.
        fs::hard_link(&fresh, &path)?;
        File::open(dir)?.sync_all()
    };
    copy().map_err(stays)?;
    fs::remove_file(made).map_err(|error| BackupError::io(made, error))?;
    Ok(path)
}

/// Writes the archive beside everything else, and gives it its name once it is on the disk.
fn finish(stage: &Stage, path: &Path, manifest: &Manifest, sources: &[Source]) -> io::Result<u64> {
    let fresh = stage.0.join("archive");
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
    archive::write(io::BufWriter::new(&mut file), manifest, sources)?;
    file.flush()?;
    file.sync_all()?;
    // Never over another one: a name is given once.
    fs::hard_link(&fresh, path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()?;
    Ok(file.metadata()?.len())
}

/// A name that no backup has: that of this second, or of one soon after.
fn free_name(dir: &Path, mut now_ms: i64) -> PathBuf {
    loop {
        let path = dir.join(format!("{PREFIX}{}{SUFFIX}", stamp(now_ms)));
        if !path.exists() {
            return path;
        }
        now_ms += 1000;
    }
}

/// What goes in, small things first: whoever reads the first of them need not read the database.
fn gather(config: &Config, db: PathBuf) -> Result<Vec<(String, Source)>, BackupError> {
    let mut entries = Vec::new();
    for (index, file) in config.files.iter().enumerate() {
        let name = match file.file_name() {
            Some(name) if index > 0 => format!("{DROP_INS}{}", name.to_string_lossy()),
            _ => CONFIG.to_owned(),
        };
        entries.push((name, Source::Bytes(files::read(file)?)));
    }
    let identity = files::read_secret(&keys::path(&config.data))?;
    entries.push((IDENTITY.to_owned(), Source::Bytes(identity.to_vec())));
    // Where certificates come from elsewhere at every start, there are none here.
    for (name, path) in [(CERT, &config.cert), (KEY, &config.key)] {
        if path.exists() {
            entries.push((name.to_owned(), Source::Bytes(files::read(path)?)));
        }
    }
    if let Some(file) = config.credentials.as_ref().filter(|file| file.exists()) {
        entries.push((CREDENTIALS.to_owned(), Source::Bytes(files::read(file)?)));
    }
    entries.push((DATABASE.to_owned(), Source::File(db)));
    Ok(entries)
}

/// Reads all of a backup, and its database as the server would.
pub fn verify(path: &Path) -> Result<(Made, Contents), BackupError> {
    let beside = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Beside it there is room for it; where nothing may be written, elsewhere.
    let stage = Stage::new(beside, 0).or_else(|_| Stage::new(&std::env::temp_dir(), 0))?;
    let db = stage.0.join("chat-server.db");
    let manifest = unpack(path, &db)?;
    let contents = whole::contents(&db)?;
    Ok((Made { path: path.to_owned(), bytes: size(path), manifest }, contents))
}

/// Reads all of a backup and writes its database to `db`, which must be sound.
fn unpack(path: &Path, db: &Path) -> Result<Manifest, BackupError> {
    let manifest = archive::read(path, |item, from| {
        if item.name == DATABASE {
            let mut to = create_private(db)?;
            io::copy(from, &mut to)?;
            to.sync_all()?;
        }
        Ok(true)
    })?;
    sound(path, db)?;
    Ok(manifest)
}

/// Whether SQLite finds nothing wrong with the database of a backup.
fn sound(backup: &Path, db: &Path) -> Result<(), BackupError> {
    match whole::faults(db) {
        Ok(faults) if faults.is_empty() => Ok(()),
        Ok(faults) => Err(BackupError::broken(backup, format!("its database: {}", faults.join("; ")))),
        Err(error) => Err(BackupError::broken(backup, format!("its database: {error}"))),
    }
}

fn create_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |file| file.len())
}

/// A backup on the disk: its file, and what its manifest says or why it cannot be read.
pub type Listed = (PathBuf, Result<Made, BackupError>);

/// The backups in `dir`, newest first; those whose manifest cannot be read come with why.
pub fn list(dir: &Path) -> Result<Vec<Listed>, BackupError> {
    let paths = names(dir).map_err(|error| BackupError::io(dir, error))?;
    let made = |path: PathBuf| {
        let read = archive::read_manifest(&path);
        let made = read.map(|manifest| Made { path: path.clone(), bytes: size(&path), manifest });
        (path, made)
    };
    Ok(paths.into_iter().map(made).collect())
}

/// The newest backup in `dir`.
pub fn latest(dir: &Path) -> Result<PathBuf, BackupError> {
    let paths = names(dir).map_err(|error| BackupError::io(dir, error))?;
    paths.into_iter().next().ok_or_else(|| BackupError::None(dir.to_owned()))
}

/// When the newest backup in `dir` was made, milliseconds since 1970.
pub fn newest_ms(dir: &Path) -> Option<i64> {
    let path = names(dir).ok()?.into_iter().next()?;
    let stamp = path.file_name()?.to_str()?.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    let zoned = jiff::fmt::strtime::parse(STAMP, stamp).ok()?.to_datetime().ok()?.to_zoned(jiff::tz::TimeZone::UTC);
    zoned.ok().map(|at| at.timestamp().as_millisecond())
}

/// Removes all but the newest `keep` backups; answers what went.
pub fn prune(dir: &Path, keep: usize) -> Result<Vec<PathBuf>, BackupError> {
    let old: Vec<PathBuf> = names(dir).map_err(|error| BackupError::io(dir, error))?.into_iter().skip(keep).collect();
    for path in &old {
        fs::remove_file(path).map_err(|error| BackupError::io(path, error))?;
    }
    Ok(old)
}

/// Names sort as times do: newest first.
fn names(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        if name.to_str().is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX)) {
            paths.push(dir.join(name));
        }
    }
    paths.sort();
    paths.reverse();
    Ok(paths)
}

const STAMP: &str = "%Y%m%dT%H%M%SZ";

/// A time as names bear it, UTC.
pub(crate) fn stamp(now_ms: i64) -> String {
    Timestamp::from_millisecond(now_ms).unwrap_or(Timestamp::UNIX_EPOCH).strftime(STAMP).to_string()
}

/// Removes what a kill left of earlier ones.
fn clear(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            // What cannot be removed now is in the way of nothing.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// A directory for unfinished work that nobody else may read; gone when dropped.
struct Stage(PathBuf);

impl Stage {
    fn new(dir: &Path, now_ms: i64) -> Result<Stage, BackupError> {
        let path = dir.join(format!("{UNFINISHED}{}-{now_ms}", std::process::id()));
        fs::DirBuilder::new().mode(0o700).create(&path).map_err(|error| BackupError::io(&path, error))?;
        // The umask may have taken bits away; it must not have added any.
        let _ = fs::set_permissions(&path, fs::Permissions::from_mode(0o700));
        Ok(Stage(path))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_is_moved_and_replaces_none() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let made = from.path().join("made");
        let dir = to.path().join("new");
        ready(&dir).unwrap();
        fs::write(&made, b"one").unwrap();
        let path = take_away(&made, 0, &dir).unwrap();
        assert_eq!((fs::read(&path).unwrap(), made.exists()), (b"one".to_vec(), false));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "nothing unfinished stays");
        fs::write(&made, b"two").unwrap();
        let other = take_away(&made, 0, &dir).unwrap();
        assert_eq!((fs::read(&path).unwrap(), fs::read(&other).unwrap()), (b"one".to_vec(), b"two".to_vec()));
        fs::create_dir(&made).unwrap();
        let refused = take_away(&made, 0, &dir).unwrap_err().to_string();
        assert!(refused.starts_with(&format!("the backup is {}", made.display())), "{refused}");
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 2);
    }

    #[test]
    fn names_are_times() {
        let dir = tempfile::tempdir().unwrap();
        for seconds in [1_795_417_331, 1_795_417_330, 0] {
            fs::write(dir.path().join(format!("{PREFIX}{}{SUFFIX}", stamp(seconds * 1000))), b"").unwrap();
        }
        fs::write(dir.path().join("chat-server-notes.txt"), b"").unwrap();
        assert_eq!(newest_ms(dir.path()), Some(1_795_417_331_000));
        assert!(latest(dir.path()).unwrap().ends_with("chat-server-20261123T070211Z.tar.zst"));
        let gone = prune(dir.path(), 1).unwrap();
        assert_eq!(gone.len(), 2);
        assert_eq!(names(dir.path()).unwrap().len(), 1);
        assert!(matches!(latest(&dir.path().join("none")), Err(BackupError::None(_))));
    }
}
