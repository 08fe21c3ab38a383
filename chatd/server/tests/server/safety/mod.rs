//! The attacks of the safety list, one test each, named by its number: against the server in this process, or against the program
//! where logs, memory, processor time and descriptors are looked at. S9, S11, S12 and S22 are decided deeper: their tests are
//! beside the code (`account/probing.rs`, `account/hasher.rs`, `store/contract/room.rs`).

mod account;
mod input;
mod log;
mod memory;
mod message;
pub mod network;
mod program;
mod rules;
