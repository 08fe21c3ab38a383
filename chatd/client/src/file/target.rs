//! Files that are received: the bytes come into an unfinished file beside its place, which gets the name only once all of it is
//! there, checked and durable. Nothing that lies there is touched unless its user asked for it, and no link is followed below the
//! folder. All of it blocks on the disk.

use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use chat_proto::control::file::Conflict;
use chat_proto::fault::Code;
use chat_proto::limits::FILE_CHUNK;

use super::folder::{Folder, write_at};
use super::job::Flag;
use super::{Refusal, digest, name};
use crate::history::file::Spot;

/// Names that are tried before a file is given up for want of one.
const NAMES: u32 = 1000;

/// Looks, before anything is asked of the peer, whether the file can go there.
pub fn check(spot: &Spot, id: &str, size: u64) -> Result<(), Refusal> {
    let folder = open_folder(&spot.folder)?;
    let look = |name: &str| folder.look(name).map_err(|error| broken(Path::new(name), &error));
    let there = look(&part_name(spot, id))?.map_or(0, |found| found.size);
    let free = folder.free().map_err(|error| broken(&spot.folder, &error))?;
    if free < size.saturating_sub(there) {
        return Err(Refusal::new(Code::DISK_FULL, format!("{} has no room for it", spot.folder.display())));
    }
    let refuses = matches!(spot.conflict, Conflict::Fail | Conflict::Skip | Conflict::Resume) && !spot.hold;
    match look(&spot.file)? {
        Some(_) if refuses => Err(taken()),
        Some(found) if spot.conflict == Conflict::Overwrite && !found.is_file => Err(taken()),
        _ => Ok(()),
    }
}

/// Removes what there is of an unfinished file; it is as good when there is nothing.
pub fn remove_part(spot: &Spot, id: &str) {
    let Ok(folder) = Folder::open(&spot.folder) else { return };
    let part = part_name(spot, id);
    // Only a file of our making is removed: a link's target or a directory stays.
    if is_file(&folder, &part) {
        let _ = folder.remove(&part);
    }
}

/// Takes over what an earlier try left elsewhere, or under another id; what cannot be taken is removed.
pub fn carry(from: &Spot, from_id: &str, to: &Spot, to_id: &str) {
    let (old, new) = (part_name(from, from_id), part_name(to, to_id));
    let Ok(from_folder) = Folder::open(&from.folder) else { return };
    let Ok(to_folder) = open_folder(&to.folder) else { return };
    if is_file(&from_folder, &old) && from_folder.rename_to_free(&old, &to_folder, &new).is_err() {
        remove_part(from, from_id);
    }
}

/// Removes a file that waited for its taker, or whatever of it is there.
pub fn remove_held(spot: &Spot) {
    if let Ok(folder) = Folder::open(&spot.folder) {
        let _ = folder.remove(&spot.file);
    }
}

/// Where all of a file lies though the history does not know: it got its name, and the daemon was killed before that was written down.
/// Nothing when there is an unfinished one, or none that is this one.
pub fn placed(spot: &Spot, id: &str, size: u64, sha256: &[u8; 32], flag: &Flag) -> Option<PathBuf> {
    let folder = Folder::open(&spot.folder).ok()?;
    if folder.look(&part_name(spot, id)).ok()?.is_some() {
        return None;
    }
    let is_it = |name: &str| {
        let Ok(Some(mut file)) = folder.read(name) else { return false };
        let fits = file.metadata().is_ok_and(|data| data.len() == size);
        fits && hash_of(&mut file, size, flag).is_ok_and(|hash| digest(hash) == *sha256)
    };
    let numbered = (2..NAMES).map(|number| name::numbered(&spot.file, number));
    let others = numbered.filter(|_| spot.conflict == Conflict::Rename && !spot.hold);
    let taken = |name: &String| folder.look(name).is_ok_and(|found| found.is_some());
    let name = std::iter::once(spot.file.clone()).chain(others).take_while(taken).find(|name| is_it(name))?;
    Some(spot.folder.join(name))
}

/// An unfinished file.
pub struct Part {
    folder: Folder,
    spot: Spot,
    name: String,
    file: File,
    /// Bytes that are there.
    length: u64,
    size: u64,
    /// Their hash.
    hash: Context,
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part").field("spot", &self.spot).field("length", &self.length).finish_non_exhaustive()
    }
}

impl Part {
    /// Opens it, or makes it, with no rights for others. What an earlier try left is read again for its hash: that may take long, and
    /// the flag stops it.
    pub fn open(spot: &Spot, id: &str, size: u64, flag: &Flag) -> Result<Part, Refusal> {
        let folder = open_folder(&spot.folder)?;
        let name = part_name(spot, id);
        let file = match folder.write(&name) {
            Ok(Some(file)) => file,
            Ok(None) => {
                let text = format!("{} is not a file of this transfer", spot.folder.join(&name).display());
                return Err(Refusal::new(Code::FILE_EXISTS, text));
            }
            Err(error) => return Err(broken(&spot.folder.join(&name), &error)),
        };
        let hash = Context::new(&SHA256);
        let mut part = Part { folder, spot: spot.clone(), name, file, length: 0, size, hash };
        part.length = part.file.metadata().map_err(|error| part.broken(&error))?.len();
        if part.length > size {
            part.file.set_len(0).map_err(|error| part.broken(&error))?;
            part.length = 0;
        }
        part.hash = hash_of(&mut part.file, part.length, flag).map_err(|error| part.stopped_or_broken(&error, flag))?;
        Ok(part)
    }

    /// Bytes that are there.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Whether it belongs to this place.
    pub fn is_at(&self, spot: &Spot) -> bool {
        self.spot == *spot
    }

    /// Puts bytes behind those that are there. More than were offered are refused.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        if bytes.len() as u64 > self.size - self.length {
            return Err(Refusal::new(Code::FILE_DAMAGED, "more bytes came than were offered"));
        }
        write_at(&self.file, bytes, self.length).map_err(|error| self.broken(&error))?;
        self.hash.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// All of it came: it is checked, made durable, and gets its name. Says where it lies. A file that is not what was offered is
    /// removed.
    pub fn finish(self, sha256: &[u8; 32], flag: &Flag) -> Result<PathBuf, Refusal> {
        if self.length != self.size {
            return Err(Refusal::new(Code::FILE_DAMAGED, "fewer bytes came than were offered"));
        }
        if digest(self.hash.clone()) != *sha256 {
            let _ = self.folder.remove(&self.name);
            return Err(Refusal::new(Code::FILE_DAMAGED, "its content is not what was offered"));
        }
        self.file.sync_all().map_err(|error| self.broken(&error))?;
        // From here on it cannot be stopped: whoever tries is told so.
        if !flag.place() {
            return Err(Code::CANCELLED.into());
        }
        let name = self.place()?;
        self.folder.sync().map_err(|error| self.broken(&error))?;
        Ok(self.spot.folder.join(name))
    }

    fn place(&self) -> Result<String, Refusal> {
        let wanted = &self.spot.file;
        let replaces = self.spot.hold || self.spot.conflict == Conflict::Overwrite;
        let first = match replaces {
            true => self.folder.rename(&self.name, wanted),
            false => self.rename_to_free(wanted),
        };
        match first.map_err(|error| (error.kind(), error)) {
            Ok(()) => return Ok(wanted.clone()),
            Err((ErrorKind::AlreadyExists, _)) if self.spot.conflict == Conflict::Rename => {}
            Err((ErrorKind::AlreadyExists | ErrorKind::IsADirectory | ErrorKind::DirectoryNotEmpty, _)) => {
                return Err(taken());
            }
            Err((_, error)) => return Err(self.broken(&error)),
        }
        for number in 2..NAMES {
            let next = name::numbered(wanted, number);
            match self.rename_to_free(&next) {
                Ok(()) => return Ok(next),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(self.broken(&error)),
            }
        }
        Err(taken())
    }

    /// Renames in one step that replaces nothing.
    fn rename_to_free(&self, to: &str) -> io::Result<()> {
        self.folder.rename_to_free(&self.name, &self.folder, to)
    }

    fn stopped_or_broken(&self, error: &io::Error, flag: &Flag) -> Refusal {
        if flag.is_stopped() { Code::CANCELLED.into() } else { self.broken(error) }
    }

    fn broken(&self, error: &io::Error) -> Refusal {
        broken(&self.spot.folder.join(&self.name), error)
    }
}

/// The hash of a file's first bytes; an error when it is shorter, or the flag stops it.
fn hash_of(file: &mut File, length: u64, flag: &Flag) -> io::Result<Context> {
    let mut hash = Context::new(&SHA256);
    let mut piece = vec![0; FILE_CHUNK];
    let mut left = length;
    file.seek(SeekFrom::Start(0))?;
    while left > 0 {
        if flag.is_stopped() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
        file.read_exact(&mut piece[..wanted])?;
        hash.update(&piece[..wanted]);
        left -= wanted as u64;
    }
    Ok(hash)
}

fn part_name(spot: &Spot, id: &str) -> String {
    name::unfinished(&spot.file, id)
}

/// The folder, which is made where there is none.
fn open_folder(folder: &Path) -> Result<Folder, Refusal> {
    let opened = match Folder::open(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Folder::make(folder).map_err(|error| unusable(folder, &error))?;
            Folder::open(folder)
        }
        other => other,
    };
    opened.map_err(|error| unusable(folder, &error))
}

/// Whether files could come into the folder now; changes nothing. `confined`: the folder must have been there at chatd's start.
pub fn look_at(folder: &Path, confined: bool) -> Result<(), Refusal> {
    let denied = io::Error::from(ErrorKind::PermissionDenied);
    match Folder::open(folder) {
        Ok(_) if Folder::is_allowed(folder) => Ok(()),
        Ok(_) => Err(broken(folder, &denied)),
        Err(error) if error.kind() != ErrorKind::NotFound => Err(unusable(folder, &error)),
        Err(_) if confined => Err(unusable(folder, &denied)),
        Err(_) if Folder::is_allowed(folder) => Ok(()),
        Err(_) => Err(broken(folder, &denied)),
    }
}

fn is_file(folder: &Folder, name: &str) -> bool {
    folder.look(name).is_ok_and(|found| found.is_some_and(|found| found.is_file))
}

/// The caller knows which place it is about.
fn taken() -> Refusal {
    Code::FILE_EXISTS.into()
}

/// The place cannot be written: no room, no right, no such folder.
fn broken(path: &Path, error: &io::Error) -> Refusal {
    Refusal::new(Code::DISK_FULL, format!("{}: {error}", path.display()))
}

/// The folder cannot be opened or made. Where its modes allow that it is the sandbox that refuses: a confined chatd may write into the
/// folder that was there at its start, and into no other one that has got its name since.
fn unusable(folder: &Path, error: &io::Error) -> Refusal {
    let refusal = broken(folder, error);
    let denied = error.kind() == ErrorKind::PermissionDenied;
    let is_confined = cfg!(target_os = "linux") && denied && Folder::is_allowed(folder);
    if is_confined { Refusal { code: Code::FOLDER_REPLACED, ..refusal } } else { refusal }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    #[cfg(unix)]
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    const ID: &str = "0123456789abcdef";
    const ABC: &str = "abc";

    fn sha(text: &str) -> [u8; 32] {
        let mut hash = Context::new(&SHA256);
        hash.update(text.as_bytes());
        digest(hash)
    }

    fn spot(home: &tempfile::TempDir, conflict: Conflict) -> Spot {
        Spot { folder: home.path().join("in"), file: "x.txt".into(), conflict, hold: false }
    }

    fn receive(spot: &Spot, text: &str) -> Result<PathBuf, Refusal> {
        let flag = Flag::default();
        let mut part = Part::open(spot, ID, ABC.len() as u64, &flag)?;
        let rest = &text.as_bytes()[usize::try_from(part.length()).expect("small")..];
        part.write(rest)?;
        part.finish(&sha(ABC), &flag)
    }

    fn names(spot: &Spot) -> Vec<String> {
        let listed = fs::read_dir(&spot.folder).expect("listed");
        let mut names: Vec<String> =
            listed.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort_unstable();
        names
    }

    fn home() -> tempfile::TempDir {
        tempfile::tempdir().expect("a directory")
    }

    #[test]
    fn a_file_gets_its_name_when_all_of_it_is_there() {
        let home = home();
        let spot = spot(&home, Conflict::Fail);
        check(&spot, ID, 3).expect("it can go there");
        let part = Part::open(&spot, ID, 3, &Flag::default()).expect("opened");
        assert_eq!(names(&spot), [format!(".x.txt.{ID}.part")]);
        #[cfg(unix)]
        assert_eq!(part.file.metadata().expect("there").permissions().mode() & 0o777, 0o600);
        drop(part);
        assert_eq!(receive(&spot, ABC).expect("received"), spot.folder.join("x.txt"));
        assert_eq!(
            (names(&spot), fs::read_to_string(spot.folder.join("x.txt")).expect("read")),
            (vec!["x.txt".into()], ABC.into())
        );
    }

    #[test]
    fn what_is_there_stays_unless_asked() {
        let home = home();
        let mine = |spot: &Spot| fs::read_to_string(spot.folder.join("x.txt")).expect("read");
        fs::create_dir(home.path().join("in")).expect("made");
        fs::write(home.path().join("in/x.txt"), "mine").expect("written");
        for conflict in [Conflict::Fail, Conflict::Skip, Conflict::Resume] {
            let spot = spot(&home, conflict);
            assert_eq!(check(&spot, ID, 3).expect_err("taken").code, Code::FILE_EXISTS, "{conflict:?}");
            assert_eq!(receive(&spot, ABC).expect_err("taken").code, Code::FILE_EXISTS, "{conflict:?}");
            assert_eq!(mine(&spot), "mine");
        }
        let rename = spot(&home, Conflict::Rename);
        check(&rename, ID, 3).expect("another name");
        // The bytes of the tries before are still there.
        assert_eq!(receive(&rename, ABC).expect("received"), rename.folder.join("x (2).txt"));
        assert_eq!(receive(&rename, ABC).expect("received"), rename.folder.join("x (3).txt"));
        let over = spot(&home, Conflict::Overwrite);
        check(&over, ID, 3).expect("asked for");
        receive(&over, ABC).expect("received");
        assert_eq!(
            (mine(&over).as_str(), names(&over)),
            (ABC, vec!["x (2).txt".into(), "x (3).txt".into(), "x.txt".into()])
        );
    }

    #[cfg(unix)]
    #[test]
    fn no_link_is_followed() {
        let home = home();
        let spot = spot(&home, Conflict::Overwrite);
        fs::create_dir(&spot.folder).expect("made");
        let victim = home.path().join("victim");
        fs::write(&victim, "mine").expect("written");
        let part = spot.folder.join(format!(".x.txt.{ID}.part"));
        symlink(&victim, &part).expect("a link in the place of the part");
        assert_eq!(receive(&spot, ABC).expect_err("a link").code, Code::FILE_EXISTS);
        remove_part(&spot, ID);
        assert!(part.is_symlink(), "it is not ours to remove");
        fs::remove_file(&part).expect("removed");
        fs::hard_link(&victim, &part).expect("a second name in the place of the part");
        assert_eq!(receive(&spot, ABC).expect_err("a second name").code, Code::FILE_EXISTS);
        fs::remove_file(&part).expect("removed");
        symlink(&victim, spot.folder.join("x.txt")).expect("a link in the place of the file");
        let before = fs::metadata(&victim).expect("there").ino();
        check(&Spot { conflict: Conflict::Rename, ..spot.clone() }, ID, 3).expect("another name");
        receive(&Spot { conflict: Conflict::Rename, ..spot.clone() }, ABC).expect("beside the link");
        assert_eq!(
            (fs::read_to_string(&victim).expect("read"), fs::metadata(&victim).expect("there").ino()),
            ("mine".into(), before)
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_fifo_in_the_place_of_the_part_hangs_nothing() {
        let home = home();
        let spot = spot(&home, Conflict::Fail);
        fs::create_dir(&spot.folder).expect("made");
        let part = spot.folder.join(format!(".x.txt.{ID}.part"));
        use rustix::fs::{FileType, Mode};
        let kind = FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &part, kind, Mode::RUSR | Mode::WUSR, rustix::fs::makedev(0, 0))
            .expect("a FIFO");
        assert_eq!(receive(&spot, ABC).expect_err("a FIFO").code, Code::FILE_EXISTS);
    }

    #[test]
    fn it_goes_on_behind_what_an_earlier_try_left() {
        let home = home();
        let spot = spot(&home, Conflict::Fail);
        let mut part = Part::open(&spot, ID, 3, &Flag::default()).expect("opened");
        part.write(b"ab").expect("written");
        drop(part);
        assert_eq!(Part::open(&spot, ID, 3, &Flag::default()).expect("opened").length(), 2);
        assert_eq!(receive(&spot, ABC).expect("received"), spot.folder.join("x.txt"));
    }

    #[test]
    fn a_stopped_reading_of_what_is_there_loses_nothing() {
        let home = home();
        let spot = spot(&home, Conflict::Fail);
        let mut part = Part::open(&spot, ID, 3, &Flag::default()).expect("opened");
        part.write(b"ab").expect("written");
        drop(part);
        let stopped = Flag::default();
        assert!(stopped.stop());
        assert_eq!(Part::open(&spot, ID, 3, &stopped).expect_err("stopped").code, Code::CANCELLED);
        assert_eq!(receive(&spot, ABC).expect("received"), spot.folder.join("x.txt"));
    }

    #[test]
    fn a_file_that_got_its_name_is_found_again() {
        let home = home();
        let rename = spot(&home, Conflict::Rename);
        let found = |spot: &Spot| placed(spot, ID, 3, &sha(ABC), &Flag::default());
        assert_eq!(found(&rename), None);
        assert!(!rename.folder.exists(), "who looks makes no folder");
        fs::create_dir(&rename.folder).expect("made");
        fs::write(rename.folder.join("x.txt"), "mine").expect("written");
        let second = receive(&rename, ABC).expect("received");
        assert_eq!((second.clone(), found(&rename)), (rename.folder.join("x (2).txt"), Some(second.clone())));
        assert_eq!(found(&spot(&home, Conflict::Fail)), None, "another name is not where it would have gone");
        fs::write(&second, "abd").expect("written");
        assert_eq!(found(&rename), None, "other content");
        fs::remove_file(&second).expect("removed");
        #[cfg(unix)]
        {
            fs::write(home.path().join("elsewhere"), ABC).expect("written");
            symlink(home.path().join("elsewhere"), &second).expect("a link");
            assert_eq!(found(&rename), None, "no link is followed");
            fs::remove_file(&second).expect("removed");
        }
        fs::write(&second, ABC).expect("written");
        drop(Part::open(&rename, ID, 3, &Flag::default()).expect("opened"));
        assert_eq!(found(&rename), None, "it was not placed where it is unfinished");
    }

    #[test]
    fn what_was_not_offered_gets_no_name() {
        let home = home();
        let spot = spot(&home, Conflict::Fail);
        assert_eq!(receive(&spot, "abd").expect_err("other content").code, Code::FILE_DAMAGED);
        assert_eq!(names(&spot), Vec::<String>::new(), "it would spoil every later try");
        assert_eq!(receive(&spot, "abcd").expect_err("too long").code, Code::FILE_DAMAGED);
        remove_part(&spot, ID);
        assert_eq!(receive(&spot, "ab").expect_err("too short").code, Code::FILE_DAMAGED);
        assert_eq!(names(&spot), [format!(".x.txt.{ID}.part")]);
        remove_part(&spot, ID);
        assert_eq!(names(&spot), Vec::<String>::new());
    }

    #[test]
    fn a_stopped_transfer_gets_no_name_and_a_placed_one_is_not_stopped() {
        let home = home();
        let spot = spot(&home, Conflict::Fail);
        let flag = Flag::default();
        let mut part = Part::open(&spot, ID, 3, &Flag::default()).expect("opened");
        part.write(ABC.as_bytes()).expect("written");
        assert!(flag.stop());
        assert_eq!(part.finish(&sha(ABC), &flag).expect_err("stopped").code, Code::CANCELLED);
        let flag = Flag::default();
        let part = Part::open(&spot, ID, 3, &Flag::default()).expect("opened");
        part.finish(&sha(ABC), &flag).expect("placed");
        assert!(!flag.stop());
    }

    #[cfg(unix)]
    #[test]
    fn a_place_that_cannot_be_written_is_named() {
        let home = home();
        fs::write(home.path().join("in"), "").expect("a file in the way");
        let refusal = check(&spot(&home, Conflict::Fail), ID, 3).expect_err("no folder");
        assert_eq!(refusal.code, Code::DISK_FULL);
        assert!(refusal.detail.contains("/in: "), "{}", refusal.detail);
        let spot = Spot { folder: home.path().to_owned(), ..spot(&home, Conflict::Fail) };
        assert_eq!(check(&spot, ID, u64::MAX).expect_err("too large").code, Code::DISK_FULL);
    }
}
