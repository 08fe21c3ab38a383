//! What chatd remembers of its profiles beside their histories: account, server, device, whether they are logged in.
//!
//! `profiles.json` in the state directory. Profiles' owners change their own entry; a logout is on the disk before it is answered.

use std::collections::BTreeMap;
use std::path::Path;

use chat_local::directory::OpenError;
use chat_proto::control::account::Ended;
use serde::{Deserialize, Serialize};

use crate::files::Held;

/// Name of the file in the state directory.
const FILE: &str = "profiles.json";

/// One profile's entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Entry {
    /// Account; empty before the first login.
    pub user: String,
    /// Server as typed; empty before the first login.
    pub server: String,
    /// This device's name.
    pub device: String,
    /// The user is logged in: a start connects by itself.
    pub logged_in: bool,
    /// Why the login ended.
    pub ended: Option<Ended>,
    /// Authorities to verify the server by, in PEM, in place of the system's.
    pub ca: Option<String>,
    /// The server has the names of the classic profile: case is kept.
    pub classic: bool,
    /// The server forgets the device's key at logout: so does this side.
    pub forgets_device: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Content {
    default: Option<String>,
    profiles: BTreeMap<String, Entry>,
}

/// The remembered profiles.
pub struct Book {
    file: Held<Content>,
}

impl Book {
    /// Reads the file.
    pub fn load(directory: &Path) -> Result<Book, OpenError> {
        Ok(Book { file: Held::load(directory, FILE)? })
    }

    /// The names.
    pub fn names(&self) -> Vec<String> {
        self.file.lock().profiles.keys().cloned().collect()
    }

    /// One entry.
    pub fn get(&self, name: &str) -> Option<Entry> {
        self.file.lock().profiles.get(name).cloned()
    }

    /// Writes one entry.
    pub fn put(&self, name: &str, entry: Entry) -> Result<(), OpenError> {
        self.file.change(|content| {
            content.profiles.insert(name.to_owned(), entry);
        })
    }

    /// Forgets one entry.
    pub fn remove(&self, name: &str) -> Result<(), OpenError> {
        self.file.change(|content| {
            content.profiles.remove(name);
            content.default.take_if(|default| default == name);
        })
    }

    /// The profile used when none is named.
    pub fn default_profile(&self) -> Option<String> {
        self.file.lock().default.clone()
    }

    /// Sets it.
    pub fn set_default(&self, name: &str) -> Result<(), OpenError> {
        self.file.change(|content| content.default = Some(name.to_owned()))
    }
}
