//! chatd as an agent of launchd: the file that says so, and the calls that make it so. The text is the one that the packages ship, with
//! another program and a place for the log.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::sleep;

use super::{Failure, Undone, run, uid};

/// The agent as shipped.
const SHIPPED: &str = include_str!("../../../packaging/launchd/chatd.plist");
/// The program that the shipped text names.
const SHIPPED_PROGRAM: &str = "/usr/local/bin/chatd";
/// The shipped text says in it how the file is put in place by hand.
const SHIPPED_COMMENT: &str = "<!-- chatd for the user who logs in.";
/// In its place in a file that is ours: nothing else is overwritten or removed.
const MARK: &str = "<!-- Written by chatctl daemon install. To remove it: chatctl daemon uninstall -->";
/// The key before which the place of the log is named.
const BEHIND_LOG: &str = "  <key>RunAtLoad</key>";
/// The agent's name, and that of its file.
const LABEL: &str = "chatd";
/// What was told to go goes in its own time, and is in the way until then: so often the next one is tried.
const TRIES: u32 = 30;
/// The wait between two tries.
const TRY_EVERY: Duration = Duration::from_millis(100);

/// The user's agent.
pub struct Agent {
    file: PathBuf,
    log: PathBuf,
    /// The user's session, as launchd calls it.
    domain: String,
}

impl Agent {
    /// In the home directory of this user; `Err` where launchd has no session of his.
    pub fn of_process() -> Result<Agent, Failure> {
        let home = std::env::home_dir().filter(|home| !home.as_os_str().is_empty());
        let home = home.ok_or_else(|| Failure::NoManager("no home directory is known".to_owned()))?;
        let agent = Agent::at(&home);
        run("launchctl", &["print", &agent.domain]).map(|_| agent)
    }

    fn at(home: &Path) -> Agent {
        Agent {
            file: home.join("Library/LaunchAgents").join(LABEL).with_extension("plist"),
            log: home.join("Library/Logs").join(LABEL).with_extension("log"),
            domain: format!("gui/{}", uid()),
        }
    }

    /// Writes the file for this chatd.
    pub fn write(&self, program: &Path) -> Result<(), Failure> {
        if self.file.exists() && !self.is_ours() {
            return Err(Failure::Foreign(self.file.clone()));
        }
        let written =
            [&self.file, &self.log].into_iter().filter_map(|file| file.parent()).try_for_each(fs::create_dir_all);
        let written = written.and_then(|()| self.put(&written_for(program, &self.log)));
        written.map_err(|error| Failure::File(self.file.clone(), error))
    }

    /// launchd takes no file that others may write.
    fn put(&self, text: &str) -> io::Result<()> {
        let mut options = File::options();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o644);
        options.open(&self.file)?.write_all(text.as_bytes())
    }

    /// launchd knows the agent.
    pub fn is_installed(&self) -> bool {
        run("launchctl", &["print", &self.service()]).is_ok()
    }

    /// Has launchd read the file, and start chatd as it says.
    pub async fn enable(&self) -> Result<(), Failure> {
        run("launchctl", &["enable", &self.service()])?;
        // One that is there goes first; that there is none is no error.
        run("launchctl", &["bootout", &self.service()]).ok();
        let file = self.file.to_string_lossy();
        let mut tries = 0;
        loop {
            match run("launchctl", &["bootstrap", &self.domain, &file]) {
                Err(Failure::Program(..)) if tries < TRIES => tries += 1,
                settled => return settled.map(drop),
            }
            sleep(TRY_EVERY).await;
        }
    }

    /// Undoes all of it; what somebody else wrote is left as it is.
    pub fn disable(&self) -> Result<Undone, Failure> {
        let changed = self.is_ours();
        if changed {
            if self.is_installed() {
                run("launchctl", &["bootout", &self.service()])?;
            }
            fs::remove_file(&self.file).map_err(|error| Failure::File(self.file.clone(), error))?;
        }
        Ok(Undone { changed, lingered: false, packaged: false })
    }

    fn service(&self) -> String {
        format!("{}/{LABEL}", self.domain)
    }

    fn is_ours(&self) -> bool {
        fs::read_to_string(&self.file).is_ok_and(|text| text.contains(MARK))
    }
}

fn written_for(program: &Path, log: &Path) -> String {
    let log = format!("  <key>StandardErrorPath</key>\n  <string>{}</string>\n{BEHIND_LOG}", escaped(log));
    let lines = SHIPPED.lines().map(|line| if line.starts_with(SHIPPED_COMMENT) { MARK } else { line });
    let text = lines.flat_map(|line| [line, "\n"]).collect::<String>();
    text.replace(SHIPPED_PROGRAM, &escaped(program)).replace(BEHIND_LOG, &log)
}

/// A path as text of XML.
fn escaped(path: &Path) -> String {
    path.to_string_lossy().replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_text_takes_another_program_and_a_log() {
        assert_eq!((SHIPPED.matches(SHIPPED_PROGRAM).count(), SHIPPED.matches(BEHIND_LOG).count()), (1, 1));
        let text = written_for(Path::new("/opt/a&b/chatd"), Path::new("/Users/alice/Library/Logs/chatd.log"));
        assert!(text.contains("<string>/opt/a&amp;b/chatd</string>\n    <string>--foreground</string>"), "{text}");
        assert!(text.contains("<key>StandardErrorPath</key>\n  <string>/Users/alice/Library/Logs/chatd.log</string>"));
        assert!(text.starts_with("<?xml") && text.contains(MARK) && !text.contains("launchctl bootstrap"), "{text}");
    }

    #[test]
    fn only_a_file_of_its_own_is_written_over() {
        let dir = tempfile::tempdir().expect("a directory to play in");
        let agent = Agent::at(dir.path());
        let write = || agent.write(Path::new("/opt/chatd")).map_err(|failure| format!("{failure:?}"));
        for _ in 0..2 {
            write().expect("written");
            assert!(agent.is_ours());
        }
        fs::write(&agent.file, SHIPPED).expect("written");
        assert!(write().is_err() && !agent.is_ours());
    }
}
