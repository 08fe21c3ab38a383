//! The control socket: how chatctl (and scripts) talk to chatd on the same host, as the same user.
//!
//! [`paths`] says where the socket may be, [`listener`] owns it on chatd's side, [`client`] dials it on chatctl's side;
//! [`connection`] carries JSON lines both ways and [`rpc`] puts JSON-RPC 2.0 on top; [`json`] makes the objects that both
//! say. Both ends check that the other belongs to the same user before they trust it. No TLS, no configuration and no storage live
//! here, so chatctl stays small and quick.

pub mod client;
pub mod connection;
pub mod directory;
pub mod endpoint;
pub mod json;
pub mod listener;
pub mod lock;
pub mod mend;
pub mod paths;
pub mod record;
pub mod refusal;
pub mod rpc;

#[cfg(unix)]
#[path = "unix.rs"]
mod system;
#[cfg(windows)]
#[path = "windows.rs"]
mod system;
#[cfg(windows)]
pub mod user;

pub use client::{DialError, connect};
pub use connection::{Connection, LineError};
pub use listener::{BindError, Listener, bind};
pub use lock::Lock;
