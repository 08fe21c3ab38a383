//! Where this call looks for chatd and its files: the layout that chatd shares, and the order of sockets to try.

use std::path::{Path, PathBuf};

use chat_local::paths::{Layout, Surroundings};

use crate::args::Global;
use crate::output::Trouble;
use crate::words::troubles;

/// The layout of this call and the socket that was typed, if any.
#[derive(Clone, Debug)]
pub struct Places {
    /// Directories and default sockets.
    pub layout: Layout,
    /// `--socket`: nothing else is tried.
    pub explicit: Option<PathBuf>,
}

impl Places {
    /// Reads the environment.
    pub fn find(global: &Global) -> Result<Places, Trouble> {
        let home = global.home.clone().filter(|home| !home.as_os_str().is_empty());
        let layout = Surroundings::of_process(home).layout().map_err(|error| troubles::no_paths(&error.to_string()))?;
        let explicit = global.socket.clone().filter(|socket| !socket.as_os_str().is_empty());
        // A relative path must mean the same to a chatd that is started: it leaves the current directory.
        let explicit = explicit.map(|socket| std::path::absolute(&socket).unwrap_or(socket));
        Ok(Places { layout, explicit })
    }

    /// Sockets to try, best first: the one typed alone; else where chatd says it listens, then the usual places.
    pub fn sockets(&self) -> Vec<PathBuf> {
        if let Some(socket) = &self.explicit {
            return vec![socket.clone()];
        }
        let recorded = self.recorded();
        let mut sockets: Vec<PathBuf> = recorded.into_iter().chain(self.layout.sockets.iter().cloned()).collect();
        let mut seen = std::collections::HashSet::new();
        sockets.retain(|socket| seen.insert(socket.clone()));
        sockets
    }

    /// The socket in `endpoint.json`. A record that cannot be read is as good as none: it is only a hint.
    pub fn recorded(&self) -> Option<PathBuf> {
        let record = chat_local::record::read(&self.layout.state).ok()??;
        Some(record.path)
    }

    /// The program chatd: beside this program, else in PATH.
    pub fn chatd(&self) -> Option<PathBuf> {
        let name = format!("chatd{}", std::env::consts::EXE_SUFFIX);
        let beside = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join(&name)));
        let in_path =
            std::env::var_os("PATH").into_iter().flat_map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
        beside.into_iter().chain(in_path.map(|dir| dir.join(&name))).find(|file| is_program(file))
    }
}

fn is_program(file: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    }
    #[cfg(not(unix))]
    file.is_file()
}
