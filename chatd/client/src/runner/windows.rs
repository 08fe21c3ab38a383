//! Windows has nothing that confines chatd, so there is no second process either: chatd starts the programs of hooks and opens files by
//! itself. `mod.rs` has the same names for systems with one.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::windows::io::OwnedHandle;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::hooks::{Input, Program, Report};

/// What the runner would be told.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// The programs of hooks by the hooks' names.
    pub programs: HashMap<String, Program>,
    /// The user's home directory.
    pub home: PathBuf,
}

/// There is none.
pub struct Begun(Infallible);

/// There is none.
#[derive(Clone)]
pub struct Runner(Infallible);

/// Cannot be started.
pub fn begin(_: Setup) -> io::Result<Begun> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The program was asked to be one.
pub fn serve() -> ExitCode {
    // Where stderr is closed there is nobody left to tell.
    let _ = writeln!(io::stderr(), "chatd: there is no runner on this system: chatd starts hooks by itself");
    ExitCode::FAILURE
}

impl Begun {
    /// Never called.
    pub fn attach(self) -> io::Result<(Runner, Opener)> {
        match self.0 {}
    }
}

impl Runner {
    /// Never called.
    pub async fn run(&self, _: &str, _: Input) -> Option<Report> {
        match self.0 {}
    }

    /// Never called.
    pub fn is_gone(&self) -> bool {
        match self.0 {}
    }
}

/// Opens files for reading. Blocks.
#[derive(Clone, Default)]
pub struct Opener(());

impl Opener {
    /// The file of this path; what it is, is for the caller to look at.
    pub fn open(&self, path: &Path) -> io::Result<OwnedHandle> {
        Ok(File::open(path)?.into())
    }
}
