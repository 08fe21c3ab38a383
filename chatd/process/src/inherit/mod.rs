//! Sockets that the service manager made and hands over (sd_listen_fds(3)), with the names that it gives them: they outlive the
//! daemon, so that nobody is refused while it is started again.
//!
//! `main` takes them before there is a second thread, because it takes their variables out of the environment too.

#[cfg(unix)]
#[path = "unix.rs"]
mod system;
#[cfg(windows)]
#[path = "windows.rs"]
mod system;

pub use system::Socket;

/// A descriptor that is none of the sockets that a daemon can serve.
#[derive(Debug, thiserror::Error)]
#[error("the service manager handed over a descriptor (\"{name}\") that is no listening socket and no UDP socket")]
pub struct Unfit {
    /// Its name, or its number where it has none.
    pub name: String,
}

/// All that was handed over, in the manager's order.
#[derive(Debug, Default)]
pub struct Inherited(Vec<(String, Socket)>);

impl Inherited {
    /// What this process was handed; nothing where nobody did, or where it was meant for another process. Once: a second call
    /// finds nothing.
    pub fn of_process() -> Result<Inherited, Unfit> {
        system::taken().map(Inherited)
    }

    /// Whether nothing was handed over.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl IntoIterator for Inherited {
    type Item = (String, Socket);
    type IntoIter = std::vec::IntoIter<(String, Socket)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl FromIterator<(String, Socket)> for Inherited {
    fn from_iter<I: IntoIterator<Item = (String, Socket)>>(sockets: I) -> Inherited {
        Inherited(sockets.into_iter().collect())
    }
}
