//! What is said between chat programs, and what is decided about it, without doing anything.
//!
//! This crate knows no runtime, socket, file, clock or environment: its manifest is the fence. Three conversations are
//! described here: [`wire`] (chatd and chat-server), [`control`] (chatctl and chatd) and, later, peer to peer. The rules
//! of the delivery contract live in [`machine`]. Everyone may import this crate; it imports nobody.

pub mod bus;
pub mod control;
pub mod display;
pub mod fault;
pub mod frame;
pub mod id;
pub mod limits;
pub mod machine;
pub mod method;
pub mod peer;
pub mod status;
pub mod version;
pub mod wire;
