//! Carries frames over TLS 1.3 between hosts and proves who is at each end.
//!
//! chat-server accepts with [`accept`], chatd connects with [`connect()`], both speak frames through [`Link`]. Keys that
//! outlive certificates are in [`identity`]; certificates in [`cert`]. This crate knows no config, storage or arguments.

pub mod accept;
pub mod cert;
pub mod connect;
pub mod identity;
mod link;
mod pinned;
mod socket;
mod trust;
mod validity;

pub use accept::{AcceptError, handshake, listen};
pub use cert::{CertError, install_provider, self_signed, server_config};
pub use connect::{ConnectError, Connected, Target, connect};
pub use identity::{DeviceClaim, DeviceKey, PeerKey, ServerIdentity, verify_device, verify_peer, verify_server};
pub use link::{Link, LinkError};
pub use pinned::Pins;
pub use trust::{CertificateProblem, Roots};
pub use validity::{Validity, validity};
