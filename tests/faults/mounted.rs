//! Small file systems of a test's own: a loop ext4 whose power can be cut, a tmpfs that fills up. Needs root and loop devices.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use chat_tests::needs;

/// What is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// ext4 on a file.
    Ext4,
    /// Memory.
    Tmpfs,
}

/// A file system over a directory; it goes when this is dropped.
pub struct Mounted {
    dir: PathBuf,
    image: Option<PathBuf>,
}

impl Mounted {
    /// Put the directory, with what is in it, onto a file system of so many MiB. Nobody may use it meanwhile.
    pub fn over(dir: &Path, kind: Kind, mib: u64) -> Mounted {
        let beside = dir.with_extension("before");
        fs::rename(dir, &beside).expect("a directory of the test");
        fs::create_dir(dir).expect("a directory of the test");
        let image = (kind == Kind::Ext4).then(|| dir.with_extension("img"));
        match &image {
            Some(image) => {
                sh(&["truncate", "-s", &format!("{mib}M"), path(image)]);
                sh(&["mkfs.ext4", "-q", "-m", "0", path(image)]);
                sh(&["mount", "-o", "loop", path(image), path(dir)]);
                let _ = fs::remove_dir(dir.join("lost+found"));
            }
            None => sh(&["mount", "-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs", path(dir)]),
        }
        let mounted = Mounted { dir: dir.to_owned(), image };
        sh(&["cp", "-a", &format!("{}/.", beside.display()), path(dir)]);
        sh(&["sync", "-f", path(dir)]);
        fs::remove_dir_all(&beside).expect("a directory of the test");
        mounted
    }

    /// Cut the power: what was not synced is lost, every later call fails, until [`Mounted::restore`].
    pub fn cut(&self) {
        // 0x8004587d is EXT4_IOC_SHUTDOWN, 2 says that the journal is not flushed; python because it needs no unsafe of ours
        let program = "import fcntl,struct,os,sys;fcntl.ioctl(os.open(sys.argv[1],0),0x8004587d,struct.pack('I',2))";
        sh(&["python3", "-c", program, path(&self.dir)]);
    }

    /// Power is back. The program that used it is gone.
    pub fn restore(&self) {
        sh(&["umount", path(&self.dir)]);
        if let Some(image) = &self.image {
            sh(&["mount", "-o", "loop", path(image), path(&self.dir)]);
        }
    }

    /// Fill nearly all that is free with a file, at once: one that grew would also eat what a server gives back meanwhile.
    pub fn fill(&self) {
        let file = fs::File::create(self.dir.join("filler")).expect("room for a name");
        let stat = rustix::fs::statvfs(&self.dir).expect("a mounted file system");
        let free = stat.f_bavail * stat.f_frsize;
        // the file system needs a little for its own notes about the file
        let sizes = (1..64u64).map_while(|step| free.checked_sub(step * 16 * 1024));
        let flags = rustix::fs::FallocateFlags::empty();
        let filled = sizes.into_iter().any(|size| rustix::fs::fallocate(&file, flags, 0, size).is_ok());
        assert!(filled, "{} cannot be filled", self.dir.display());
    }

    /// Take the filling away.
    pub fn free(&self) {
        fs::remove_file(self.dir.join("filler")).expect("the filler is there");
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // lazily: a program may still have its place there when a test failed
        let _ = Command::new("umount").args(["-l", path(&self.dir)]).status();
    }
}

/// Whether this kind can be mounted here; says so when not.
pub fn mountable(kind: Kind) -> bool {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (inside, image) = (dir.path().join("m"), dir.path().join("i"));
    let script = match kind {
        Kind::Tmpfs => "mkdir $1 && mount -t tmpfs -o size=1m tmpfs $1 && umount $1",
        Kind::Ext4 => {
            "mkdir $1 && truncate -s 8M $2 && mkfs.ext4 -q $2 && mount -o loop $2 $1 && umount $1 && command -v python3"
        }
    };
    let mut run = Command::new("sh");
    run.args(["-c", script, "sh", path(&inside), path(&image)]);
    needs::met(needs::works(&mut run), &format!("{kind:?} cannot be mounted here"))
}

fn sh(words: &[&str]) {
    let done = Command::new(words[0]).args(&words[1..]).output().expect("a system tool");
    assert!(done.status.success(), "{words:?}: {}", String::from_utf8_lossy(&done.stderr));
}

fn path(path: &Path) -> &str {
    path.to_str().expect("paths of tests are plain")
}
