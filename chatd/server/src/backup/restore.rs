//! `restore`: a stopped server becomes what it was when a backup was made. What was there is moved aside, never deleted; a
//! restore that was cut short keeps the server from starting until it is done again.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::archive::{self, Manifest};
use super::{BackupError, CERT, CONFIG, CREDENTIALS, DATABASE, DROP_INS, IDENTITY, KEY, stamp, unpack};
use crate::config::{self, Config, Layout, Written};
use crate::files::{self, FileError};
use crate::keys;
use crate::store::StoreError;
use crate::store::sqlite::{self, whole};

/// A restore is under way, or was cut short: nothing there may be served.
pub const MARKER: &str = "restoring";
/// Where everything is below the place that `--to` names; wins over what the backup's configuration says.
const RELATIVE: &str = "zz-restored.toml";

/// What a restore did.
#[derive(Clone, Debug)]
pub struct Restored {
    /// What the backup holds.
    pub manifest: Manifest,
    /// The configuration that counts now.
    pub config: PathBuf,
    /// Where the data is now.
    pub data: PathBuf,
    /// Where what was there before is now; nothing when there was nothing.
    pub aside: Option<PathBuf>,
}

/// Entries of a backup, save the database, in its order.
type Small = Vec<(String, Vec<u8>)>;

/// Puts back what `path` holds, into the places of `layout`; `elsewhere` makes everything lie below them, whatever the
/// configuration says.
pub fn restore(
    path: &Path,
    layout: &Layout,
    elsewhere: bool,
    host_name: &str,
    now_ms: i64,
) -> Result<Restored, BackupError> {
    let small = small(path)?;
    let config = meant(&small, layout, elsewhere, host_name)?;
    if elsewhere && (layout.config.exists() || keys::path(&config.data).exists()) {
        return Err(FileError::Exists(layout.config.clone()).into());
    }
    files::make_dir(&config.data, 0o700)?;
    let _lock = match sqlite::lock(&config.data) {
        Err(StoreError::Locked(dir)) => return Err(BackupError::InUse(dir)),
        lock => lock?,
    };
    // The whole backup is read and looked at before anything is touched.
    let fresh = config.data.join("restored.db");
    let manifest = fresh_database(path, &fresh)?;
    let io = |error| BackupError::io(&config.data, error);
    let marker = config.data.join(MARKER);
    write(&marker, path.as_os_str().as_encoded_bytes(), 0o600, &config.data).map_err(io)?;
    let mut aside = Aside::new(&config.data, now_ms);
    let database = sqlite::file(&config.data);
    let beside = |ending: &str| PathBuf::from(format!("{}{ending}", database.display()));
    // The log of the old database must never meet the new one: it goes before the new one comes.
    for old in [database.clone(), beside("-wal"), beside("-shm"), config.data.join("storage-failed")] {
        aside.take(&old).map_err(io)?;
    }
    fs::rename(&fresh, &database).map_err(io)?;
    small_files(&small, layout, &config, elsewhere, &mut aside)?;
    own(&database, &config.data).map_err(io)?;
    File::open(&config.data).and_then(|dir| dir.sync_all()).map_err(io)?;
    fs::remove_file(&marker).map_err(io)?;
    File::open(&config.data).and_then(|dir| dir.sync_all()).map_err(io)?;
    Ok(Restored {
        manifest,
        config: layout.config.clone(),
        data: config.data.clone(),
        aside: aside.used.then_some(aside.dir),
    })
}

/// Everything but the database, into memory.
fn small(path: &Path) -> Result<Small, BackupError> {
    let mut small = Small::new();
    archive::read(path, |item, from| {
        if item.name == DATABASE {
            return Ok(false);
        }
        let mut bytes = Vec::new();
        from.take(archive::SMALL_MAX).read_to_end(&mut bytes)?;
        small.push((item.name.clone(), bytes));
        Ok(true)
    })?;
    let known = |name: &str| {
        [CONFIG, IDENTITY, CERT, KEY, CREDENTIALS].contains(&name)
            || name.strip_prefix(DROP_INS).is_some_and(|file| file.ends_with(".toml") && !file.contains('/'))
    };
    if let Some((name, _)) = small.iter().find(|(name, _)| !known(name)) {
        return Err(BackupError::broken(path, format!("it holds \"{}\"", chat_proto::display::line(name))));
    }
    if [CONFIG, IDENTITY].iter().any(|wanted| !small.iter().any(|(name, _)| name == wanted)) {
        return Err(BackupError::broken(path, "it lacks configuration or key".into()));
    }
    Ok(small)
}

/// What the configuration in the backup means in its new places.
fn meant(small: &Small, layout: &Layout, elsewhere: bool, host_name: &str) -> Result<Config, BackupError> {
    let mut layers: Vec<(PathBuf, String)> = Vec::new();
    for (name, bytes) in small {
        if let Some(file) = place_of_config(name, layout) {
            layers.push((file, String::from_utf8_lossy(bytes).into_owned()));
        }
    }
    if elsewhere {
        layers.push((drop_in(layout), below(small)));
    }
    let keys: Written = chat_process::config::parse_layers(&layers)?;
    let files = layers.into_iter().map(|(file, _)| file).collect();
    Ok(config::mean(keys, files, layout, host_name)?)
}

fn place_of_config(name: &str, layout: &Layout) -> Option<PathBuf> {
    match name.strip_prefix(DROP_INS) {
        Some(file) => Some(layout.config.with_extension("d").join(file)),
        None => (name == CONFIG).then(|| layout.config.clone()),
    }
}

fn drop_in(layout: &Layout) -> PathBuf {
    layout.config.with_extension("d").join(RELATIVE)
}

/// Everything below the directory of the configuration.
fn below(small: &Small) -> String {
    let mut text = String::from(
        "# written by restore --to: everything lies here, whatever the restored configuration says\n\
         [storage]\ndir = \"data\"\n[tls]\ncert = \"tls/fullchain.pem\"\nkey = \"tls/privkey.pem\"\n\
         [admin]\nsocket = \"run/admin.sock\"\n[backup]\ndir = \"backups\"\n",
    );
    if small.iter().any(|(name, _)| name == CREDENTIALS) {
        text.push_str("[auth]\ncredentials = \"credentials.txt\"\n");
    }
    text
}

/// Reads and checks the database before anything is touched.
fn fresh_database(path: &Path, fresh: &Path) -> Result<Manifest, BackupError> {
    // Of an earlier try.
    let _ = fs::remove_file(fresh);
    let done = unpack(path, fresh).and_then(|manifest| {
        // One of a newer schema is refused.
        whole::contents(fresh)?;
        Ok(manifest)
    });
    if done.is_err() {
        let _ = fs::remove_file(fresh);
    }
    done
}

/// Key, certificate and configuration.
fn small_files(
    small: &Small,
    layout: &Layout,
    config: &Config,
    elsewhere: bool,
    aside: &mut Aside,
) -> Result<(), BackupError> {
    let own = below(small);
    let mut wanted: Vec<(PathBuf, u32, &[u8])> = Vec::new();
    for (name, bytes) in small {
        let (path, mode) = match name.as_str() {
            IDENTITY => (keys::path(&config.data), 0o600),
            CERT => (config.cert.clone(), 0o644),
            KEY => (config.key.clone(), 0o600),
            CREDENTIALS => match &config.credentials {
                Some(path) => (path.clone(), 0o600),
                None => continue,
            },
            other => match place_of_config(other, layout) {
                Some(path) => (path, 0o640),
                None => continue,
            },
        };
        wanted.push((path, mode, bytes));
    }
    if elsewhere {
        wanted.push((drop_in(layout), 0o640, own.as_bytes()));
    } else {
        aside.take_drop_ins(&layout.config.with_extension("d"))?;
    }
    for (path, mode, bytes) in wanted {
        let above = path.parent().unwrap_or(Path::new(".")).to_owned();
        files::make_dir(&above, 0o750)?;
        aside.take(&path).map_err(|error| BackupError::io(&path, error))?;
        write(&path, bytes, mode, &above).map_err(|error| BackupError::io(&path, error))?;
    }
    Ok(())
}

/// Writes a file in one piece, on the disk when this returns; it belongs to whom its directory belongs to.
fn write(path: &Path, bytes: &[u8], mode: u32, above: &Path) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    own(path, above)?;
    File::open(above)?.sync_all()
}

/// An operator who is root restores for the server's user, not for himself.
fn own(path: &Path, above: &Path) -> io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let above = fs::metadata(above)?;
    std::os::unix::fs::chown(path, Some(above.uid()), Some(above.gid()))
}

/// Where what was there goes.
struct Aside {
    dir: PathBuf,
    used: bool,
}

impl Aside {
    /// In a directory that no earlier restore used.
    fn new(data: &Path, mut now_ms: i64) -> Aside {
        loop {
            let dir = data.join(format!("before-{}", stamp(now_ms)));
            if !dir.exists() {
                return Aside { dir, used: false };
            }
            now_ms += 1000;
        }
    }

    /// Moves a file aside; one that is not there is as good.
    fn take(&mut self, path: &Path) -> io::Result<()> {
        if !path.exists() {
            return Ok(());
        }
        if !self.used {
            files::make_dir(&self.dir, 0o700).map_err(|error| io::Error::other(error.to_string()))?;
            self.used = true;
        }
        let to = self.dir.join(path.file_name().unwrap_or_default());
        match fs::rename(path, &to) {
            // On another file system.
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                fs::copy(path, &to)?;
                File::open(&to)?.sync_all()?;
                fs::remove_file(path)
            }
            done => done,
        }
    }

    /// Drop-ins that the backup does not have would change what it meant.
    fn take_drop_ins(&mut self, folder: &Path) -> Result<(), BackupError> {
        let io = |error| BackupError::io(folder, error);
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(io)?,
        };
        for entry in entries {
            let path = entry.map_err(io)?.path();
            if path.extension().is_some_and(|ending| ending == "toml") {
                self.take(&path).map_err(io)?;
            }
        }
        Ok(())
    }
}
