//! The configuration: as written (strict: unknown keys are refused with a suggestion), then as meant.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use chat_process::config::{ConfigError, load};
use chat_proto::control::hooks::Occasion;
use chat_proto::id::{AccountName, NameRule};
use chat_proto::limits::{
    HOOK_RETRIES, HOOK_RETRIES_MAX, HOOK_RETRY_AFTER, HOOK_TIMEOUT, HOOK_TIMEOUT_MAX, HOOKS_MAX, REQUEST_TTL,
    REQUEST_TTL_MAX,
};
use serde::Deserialize;

/// A key of the file, for people.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name with its tables.
    pub name: &'static str,
    /// Its default, as it is written.
    pub default: &'static str,
    /// What it means.
    pub about: &'static str,
}

/// Every key that has one value; profiles and hooks come beside them.
pub const KEYS: &[Key] = &[
    Key { name: "default_profile", default: "\"\"", about: "the profile used when none is named; \"\": the only one" },
    Key { name: "receipts.send_read", default: "true", about: "tell senders what was read" },
    Key {
        name: "private.policy",
        default: "\"ask\"",
        about: "who may ask for a private session: ask (everybody), listed (those in private.auto_accept), deny (nobody)",
    },
    Key {
        name: "private.auto_accept",
        default: "[]",
        about: "names whose private requests are accepted without asking",
    },
    Key {
        name: "private.relay_only",
        default: "false",
        about: "hide this host's addresses from all peers: private sessions go through the server's relay alone",
    },
    Key {
        name: "private.request_ttl",
        default: "\"2m\"",
        about: "how long an own private request stays open; the server's own limit holds too",
    },
    Key {
        name: "private.port",
        default: "0",
        about: "UDP port for private sessions, for hosts behind a firewall; 0: any",
    },
    Key {
        name: "files.dir",
        default: "\"~/Downloads\"",
        about: "folder for received files: a full path, or ~/... for one in the home directory",
    },
    Key { name: "files.auto_accept", default: "[]", about: "users whose files are taken without asking" },
    Key {
        name: "files.max_size",
        default: "\"1GiB\"",
        about: "larger files are declined at once, such as 500MiB or 2GiB",
    },
    Key {
        name: "sandbox",
        default: "\"on\"",
        about: "once it runs chatd confines itself to its own files and system calls: on, off",
    },
    Key { name: "log.level", default: "\"info\"", about: "how much chatd logs: off, error, warn, info, debug, trace" },
];

/// Tables that the manual names and this build does nothing with: taking them would promise what is not kept.
const NOT_YET: &[&str] = &["notify", "history", "credentials"];

/// The file as written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Written {
    default_profile: Option<String>,
    profile: BTreeMap<String, WrittenProfile>,
    receipts: WrittenReceipts,
    files: WrittenFiles,
    log: WrittenLog,
    sandbox: Option<String>,
    hook: Vec<WrittenHook>,
    /// chatctl's; read there.
    display: toml::Table,
    notify: Option<toml::Value>,
    private: WrittenPrivate,
    history: Option<toml::Value>,
    credentials: Option<toml::Value>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenHook {
    on: String,
    run: Vec<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    from: Vec<String>,
    #[serde(default)]
    profile: Option<String>,
    #[serde(default)]
    timeout: Option<Wait>,
    #[serde(default)]
    retries: Option<u32>,
    #[serde(default)]
    retry_after: Option<Wait>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WrittenProfile {
    server: String,
    user: String,
    autologin: bool,
}

impl Default for WrittenProfile {
    fn default() -> Self {
        WrittenProfile { server: String::new(), user: String::new(), autologin: true }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WrittenReceipts {
    send_read: bool,
}

impl Default for WrittenReceipts {
    fn default() -> Self {
        WrittenReceipts { send_read: true }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WrittenFiles {
    dir: String,
    auto_accept: Vec<String>,
    max_size: Size,
}

impl Default for WrittenFiles {
    fn default() -> Self {
        WrittenFiles { dir: "~/Downloads".into(), auto_accept: Vec::new(), max_size: Size(1 << 30) }
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WrittenPrivate {
    policy: Option<String>,
    auto_accept: Vec<String>,
    relay_only: bool,
    request_ttl: Option<Wait>,
    port: u16,
}

impl WrittenPrivate {
    fn meant(self) -> Result<Private, (String, String)> {
        let policy = match self.policy.as_deref().unwrap_or("ask") {
            "ask" => PrivatePolicy::Ask,
            "listed" => PrivatePolicy::Listed,
            "deny" => PrivatePolicy::Deny,
            other => return Err(("private.policy".into(), format!("{other:?} is none of ask, listed, deny"))),
        };
        let request_ttl = self.request_ttl.map_or(REQUEST_TTL, |wait| wait.0);
        if request_ttl.is_zero() || request_ttl > REQUEST_TTL_MAX {
            let problem = format!("must be above 0 and at most {}m", REQUEST_TTL_MAX.as_secs() / 60);
            return Err(("private.request_ttl".into(), problem));
        }
        let auto_accept = names("private.auto_accept", self.auto_accept)?;
        Ok(Private { policy, auto_accept, relay_only: self.relay_only, request_ttl, port: self.port })
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WrittenLog {
    level: Option<String>,
}

/// A profile that the file names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Server; empty when not said.
    pub server: String,
    /// Account; empty when not said.
    pub user: String,
    /// Connect at start when it was logged in.
    pub autologin: bool,
}

/// What happens to files that come within private sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// Folder for them: a full path, or one that begins with `~`.
    pub folder: PathBuf,
    /// Users whose files are taken without asking.
    pub auto_accept: Vec<String>,
    /// Bytes of the largest file that is taken.
    pub max_size: u64,
}

/// A program that runs when something happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// Its name: what is kept of it is kept under this.
    pub name: String,
    /// What it waits for.
    pub on: Occasion,
    /// Only of these people; empty: of everybody.
    pub from: Vec<String>,
    /// Only in this profile.
    pub profile: Option<String>,
    /// The program, a full path, and its arguments.
    pub run: Vec<String>,
    /// A run may take so long.
    pub timeout: Duration,
    /// A failed run is repeated so often.
    pub retries: u32,
    /// The wait before the first repetition.
    pub retry_after: Duration,
}

/// Who may ask for a private session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrivatePolicy {
    /// Everybody.
    Ask,
    /// Those whose requests are accepted without asking, and nobody else.
    Listed,
    /// Nobody.
    Deny,
}

/// Private sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Private {
    /// Who may ask.
    pub policy: PrivatePolicy,
    /// Whose requests are accepted without asking.
    pub auto_accept: Vec<String>,
    /// Addresses are hidden from all peers.
    pub relay_only: bool,
    /// How long an own request stays open.
    pub request_ttl: Duration,
    /// UDP port; 0: any.
    pub port: u16,
}

/// The configuration as meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The profile used when none is named.
    pub default_profile: Option<String>,
    /// Profiles that the file names.
    pub profiles: BTreeMap<String, Named>,
    /// Tell senders what was read.
    pub send_read: bool,
    /// Private sessions.
    pub private: Private,
    /// What happens to files that come.
    pub files: Files,
    /// Level of the log.
    pub log_level: Option<String>,
    /// Hooks in the order of the file.
    pub hooks: Vec<Hook>,
    /// chatd confines itself.
    pub sandbox: bool,
    /// The file, and when it was changed last before it was read; nothing where there was none.
    pub source: (PathBuf, Option<SystemTime>),
}

impl Config {
    /// Reads the file; without one everything has its default. A file that was asked for must be there.
    pub fn load(file: &Path, asked_for: bool) -> Result<Config, ConfigError> {
        let source = (file.to_owned(), modified(file));
        // One that cannot be looked for is not missing: it may be there and say otherwise than the defaults.
        let missing = matches!(file.try_exists(), Ok(false));
        let written = if missing && !asked_for { Written::default() } else { load::<Written>(file)? };
        let config = written.meant().map_err(|(key, problem)| ConfigError {
            file: file.to_owned(),
            place: None,
            key: Some(key),
            problem,
            suggestion: None,
        })?;
        Ok(Config { source, ..config })
    }

    /// Whether the file is another one now.
    pub fn is_stale(&self) -> bool {
        modified(&self.source.0) != self.source.1
    }
}

fn modified(file: &Path) -> Option<SystemTime> {
    file.metadata().and_then(|data| data.modified()).ok()
}

impl Written {
    fn meant(self) -> Result<Config, (String, String)> {
        let later = [&self.notify, &self.history, &self.credentials];
        if let Some((name, _)) = NOT_YET.iter().zip(later).find(|(_, value)| value.is_some()) {
            return Err(((*name).to_owned(), "has no effect in this version; leave it out".to_owned()));
        }
        let named = |(name, p): (String, WrittenProfile)| match is_profile_name(&name) {
            true => Ok((name, Named { server: p.server, user: p.user, autologin: p.autologin })),
            false => Err((format!("profile.{name}"), "not a name for a profile".to_owned())),
        };
        if let Some(level) = self.log.level.as_deref().filter(|level| !LEVELS.contains(level)) {
            return Err(("log.level".into(), format!("{level:?} is none of {}", LEVELS.join(", "))));
        }
        let sandbox = match self.sandbox.as_deref() {
            None | Some("on") => true,
            Some("off") => false,
            Some(other) => return Err(("sandbox".into(), format!("{other:?} is none of on, off"))),
        };
        Ok(Config {
            sandbox,
            default_profile: self.default_profile.filter(|name| !name.is_empty()),
            profiles: self.profile.into_iter().map(named).collect::<Result<_, _>>()?,
            send_read: self.receipts.send_read,
            private: self.private.meant()?,
            files: self.files.meant()?,
            log_level: self.log.level,
            hooks: hooks(self.hook)?,
            source: Default::default(),
        })
    }
}

impl Files {
    /// The folder, where this is what `~` means.
    pub fn folder_in(&self, home: &Path) -> PathBuf {
        match self.folder.strip_prefix("~") {
            Ok(rest) => home.join(rest),
            Err(_) => self.folder.clone(),
        }
    }
}

impl WrittenFiles {
    fn meant(self) -> Result<Files, (String, String)> {
        let folder = PathBuf::from(self.dir.trim_end_matches('/'));
        if !(folder.is_absolute() || folder.starts_with("~")) || self.dir.contains('\0') {
            let problem = format!("{:?} is not a full path: write \"/full/path\" or \"~/folder\"", self.dir);
            return Err(("files.dir".into(), problem));
        }
        let auto_accept = names("files.auto_accept", self.auto_accept)?;
        Ok(Files { folder, auto_accept, max_size: self.max_size.0 })
    }
}

/// Names of users; whoever compares with them passes over case.
fn names(key: &str, names: Vec<String>) -> Result<Vec<String>, (String, String)> {
    match names.iter().find(|name| AccountName::parse(name, NameRule::Classic).is_err()) {
        Some(name) => Err((key.into(), format!("{name:?} is nobody's name"))),
        None => Ok(names),
    }
}

/// The hooks; each has a name of its own.
fn hooks(written: Vec<WrittenHook>) -> Result<Vec<Hook>, (String, String)> {
    let mut hooks: Vec<Hook> = Vec::with_capacity(written.len());
    for (number, one) in written.into_iter().enumerate() {
        let hook = one.meant().map_err(|(key, problem)| (format!("hook {} ({key})", number + 1), problem))?;
        if hooks.iter().any(|other| other.name == hook.name) {
            let problem = format!("two hooks have the name {:?}: give one of them another name = \"...\"", hook.name);
            return Err((format!("hook {} (name)", number + 1), problem));
        }
        hooks.push(hook);
    }
    match hooks.len() {
        0..=HOOKS_MAX => Ok(hooks),
        count => Err(("hook".into(), format!("{count} hooks are more than {HOOKS_MAX}"))),
    }
}

impl WrittenHook {
    fn meant(self) -> Result<Hook, (&'static str, String)> {
        let on: Occasion =
            self.on.parse().map_err(|known| ("on", format!("{:?} is nothing to wait for; {known}", self.on)))?;
        let program = self.run.first().map(String::as_str).unwrap_or_default();
        if !Path::new(program).is_absolute() {
            return Err(("run", not_absolute(program)));
        }
        if self.run.iter().any(|word| word.contains('\0')) {
            return Err(("run", "no argument may contain a NUL".into()));
        }
        if !self.from.is_empty() && !on.has_person() {
            return Err(("from", format!("nobody causes a {:?}; leave from out", on.word())));
        }
        if let Some(name) = self.name.as_ref().filter(|name| !is_hook_name(name)) {
            return Err(("name", format!("{name:?} is not a name: 1 to 64 characters without control characters")));
        }
        if let Some(profile) = self.profile.as_ref().filter(|name| !is_profile_name(name)) {
            return Err(("profile", format!("{profile:?} is not a name for a profile")));
        }
        let timeout = self.timeout.map_or(HOOK_TIMEOUT, |wait| wait.0);
        if timeout.is_zero() || timeout > HOOK_TIMEOUT_MAX {
            return Err(("timeout", format!("must be above 0 and at most {}m", HOOK_TIMEOUT_MAX.as_secs() / 60)));
        }
        let retries = self.retries.unwrap_or(HOOK_RETRIES);
        if retries > HOOK_RETRIES_MAX {
            return Err(("retries", format!("must be at most {HOOK_RETRIES_MAX}")));
        }
        let file = Path::new(program).file_name().map(|name| name.to_string_lossy().into_owned());
        let name = self.name.unwrap_or_else(|| format!("{}:{}", on.word(), file.unwrap_or_default()));
        let retry_after = self.retry_after.map_or(HOOK_RETRY_AFTER, |wait| wait.0);
        Ok(Hook { name, on, from: self.from, profile: self.profile, run: self.run, timeout, retries, retry_after })
    }
}

fn not_absolute(program: &str) -> String {
    match program {
        "" => "names no program: write run = [\"/full/path\", \"argument\"]".into(),
        program => format!(
            "{program:?} is not a full path; a hook has no shell and no search path: write run = [\"/full/path/of/{}\", ...]",
            program.trim_start_matches(['~', '.', '/'])
        ),
    }
}

fn is_hook_name(name: &str) -> bool {
    (1..=64).contains(&name.chars().count()) && !name.chars().any(char::is_control)
}

/// A length of time: `500ms`, `10s`, `2m`, `1h`; a bare number is seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wait(Duration);

impl<'de> Deserialize<'de> for Wait {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Wait, D::Error> {
        let value = toml::Value::deserialize(from)?;
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (digits, unit) = text.split_at(end);
        let unit_ms = match unit {
            "ms" => 1,
            "" | "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => 0,
        };
        match digits.parse::<u64>().ok().filter(|_| unit_ms > 0).and_then(|number| number.checked_mul(unit_ms)) {
            Some(ms) => Ok(Wait(Duration::from_millis(ms))),
            None => {
                Err(serde::de::Error::custom(format!("{text:?} is not a time such as \"500ms\", \"10s\" or \"2m\"")))
            }
        }
    }
}

/// A number of bytes: `500MiB`, `2GiB`; a bare number is bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Size(u64);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Size, D::Error> {
        let value = toml::Value::deserialize(from)?;
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (digits, unit) = text.split_at(end);
        let shift = ["B", "KiB", "MiB", "GiB", "TiB"].iter().position(|name| *name == unit || unit.is_empty());
        let bytes =
            shift.zip(digits.parse::<u64>().ok()).and_then(|(tens, number)| number.checked_mul(1 << (10 * tens)));
        // Beyond this no file system goes, nor the history's numbers.
        match bytes.filter(|bytes| i64::try_from(*bytes).is_ok()) {
            Some(bytes) => Ok(Size(bytes)),
            None => {
                let meant = guessed(digits, unit).map(|meant| format!(": write {meant:?}"));
                let what = meant.unwrap_or_else(|| " is not a size such as \"500MiB\" or \"2GiB\"".into());
                Err(serde::de::Error::custom(format!("{text:?}{what}")))
            }
        }
    }
}

/// What was meant by `1 gb`.
fn guessed(digits: &str, unit: &str) -> Option<String> {
    let number: u16 = digits.parse().ok()?;
    let unit = unit.trim().to_ascii_lowercase();
    let first = unit.chars().next().filter(|_| matches!(unit.get(1..), Some("" | "b" | "ib")))?;
    "kmgt".contains(first).then(|| format!("{number}{}iB", first.to_ascii_uppercase()))
}

const LEVELS: &[&str] = &["off", "error", "warn", "info", "debug", "trace"];

/// Whether a text can name a profile: it becomes the name of directories.
pub fn is_profile_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|b| b.is_ascii_alphanumeric());
    first
        && name.len() <= chat_proto::limits::NAME_MAX
        && bytes.all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meant(text: &str) -> Result<Config, String> {
        let written: Written =
            chat_process::config::parse(text, Path::new("config.toml")).map_err(|error| error.to_string())?;
        written.meant().map_err(|(key, problem)| format!("{key}: {problem}"))
    }

    #[test]
    fn defaults_and_profiles() {
        let config = meant("").expect("empty is right");
        assert!(config.send_read && config.profiles.is_empty());
        let config =
            meant("default_profile = \"work\"\nprofile.work = { server = \"chat.example.org\", user = \"alice\" }\n")
                .expect("right");
        assert!(config.profiles["work"].autologin);
    }

    // Full paths look so on Unix alone.
    #[cfg(unix)]
    #[test]
    fn hooks_have_defaults_and_names() {
        let text =
            "hook = [ { on = \"message\", from = [\"ci\"], run = [\"/usr/local/bin/page\"], timeout = \"10s\" } ]";
        let hooks = meant(text).expect("the sample of the manual").hooks;
        assert_eq!((hooks[0].name.as_str(), hooks[0].timeout), ("message:page", Duration::from_secs(10)));
        assert_eq!((hooks[0].retries, hooks[0].on), (HOOK_RETRIES, Occasion::Message));
        let tables = "[[hook]]\non = \"link\"\nrun = [\"/bin/x\"]\nretry_after = \"100ms\"\n[[hook]]\non = \"link\"\nname = \"y\"\nrun = [\"/bin/x\"]";
        let hooks = meant(tables).expect("tables are as good").hooks;
        assert_eq!((hooks[0].retry_after, hooks[1].name.as_str()), (Duration::from_millis(100), "y"));
    }

    // Full paths look so on Unix alone.
    #[cfg(unix)]
    #[test]
    fn wrong_hooks_say_what_to_write() {
        let refused = |hook: &str| meant(&format!("hook = [ {{ {hook} }} ]")).expect_err(hook);
        assert!(refused("on = \"message\", run = [\"page\"]").contains("[\"/full/path/of/page\", ...]"));
        assert!(refused("on = \"message\", run = [\"~/page\"]").contains("no shell and no search path"));
        assert!(refused("on = \"message\", run = []").contains("names no program"));
        assert!(refused("on = \"mesage\", run = [\"/x\"]").contains("use one of message, presence"));
        assert!(refused("on = \"link\", from = [\"bob\"], run = [\"/x\"]").contains("leave from out"));
        assert!(refused("on = \"link\", run = [\"/x\"], timeout = \"1 hour\"").contains("not a time such as"));
        assert!(refused("on = \"link\", run = [\"/x\"], timeout = \"2h\"").contains("at most 10m"));
        assert!(refused("on = \"link\", run = [\"/x\"], rnu = 1").contains("did you mean \"run\"?"));
        assert!(refused("on = \"link\", run = [\"/x\"] }, { on = \"link\", run = [\"/x\"]").contains("two hooks"));
    }

    // Full paths look so on Unix alone.
    #[cfg(unix)]
    #[test]
    fn files_have_a_folder_and_a_bound() {
        let files = meant("").expect("empty is right").files;
        assert_eq!((files.folder, files.max_size), (PathBuf::from("~/Downloads"), 1 << 30));
        let text = "files = { dir = \"/srv/in/\", auto_accept = [\"bob\"], max_size = \"500MiB\" }";
        let files = meant(text).expect("right").files;
        assert_eq!((files.folder.as_path(), files.max_size), (Path::new("/srv/in"), 500 << 20));
        assert_eq!(meant("files.max_size = 1000").expect("bytes").files.max_size, 1000);
        let refused = |text: &str| meant(text).expect_err(text);
        assert!(refused("files.dir = \"Downloads\"").contains("is not a full path"));
        assert!(refused("files.max_size = \"1 gb\"").contains("write \"1GiB\""));
        assert!(refused("files.max_size = \"much\"").contains("not a size such as"));
        assert!(refused("files.max_size = \"9999999TiB\"").contains("not a size such as"));
        assert!(refused("files.auto_accept = [\"a b\"]").contains("nobody's name"));
        assert!(refused("private.auto_accept = [\"a b\"]").contains("nobody's name"));
    }

    #[test]
    fn every_key_takes_its_default() {
        let text: String = KEYS.iter().map(|key| format!("{} = {}\n", key.name, key.default)).collect();
        assert_eq!(meant(&text).map(|config| Config { log_level: None, ..config }), meant(""));
    }

    #[test]
    fn private_sessions_have_a_policy() {
        let private = meant("private = { policy = \"listed\", auto_accept = [\"bob\"], request_ttl = \"30s\" }")
            .expect("right")
            .private;
        assert_eq!((private.policy, private.request_ttl), (PrivatePolicy::Listed, Duration::from_secs(30)));
        assert!(private.auto_accept == ["bob"] && !private.relay_only);
        let refused = |table: &str| meant(&format!("private = {{ {table} }}")).expect_err(table);
        assert!(refused("policy = \"all\"").contains("none of ask, listed, deny"));
        assert!(refused("request_ttl = \"2h\"").contains("at most 60m"));
        assert!(refused("relayonly = true").contains("relay_only"));
    }

    #[test]
    fn keys_without_an_effect_are_refused_as_such() {
        for name in NOT_YET {
            let refused = meant(&format!("{name} = {{ keep = \"1y\" }}")).expect_err(name);
            assert_eq!(refused, format!("{name}: has no effect in this version; leave it out"));
        }
    }

    #[test]
    fn mistakes_are_named() {
        assert!(meant("[receipts]\nsend_raed = true").expect_err("unknown").contains("did you mean \"send_read\"?"));
        assert!(meant("log.level = \"loud\"").expect_err("no level").contains("log.level"));
        assert!(meant("profile.\"../x\" = {}").expect_err("no name").contains("profile"));
        for bad in ["", ".x", "a/b", "a b", "-a", &"a".repeat(33)] {
            assert!(!is_profile_name(bad), "{bad}");
        }
    }
}
