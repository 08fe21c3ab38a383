//! chatctl as a process against a fake chatd: words, objects, exit codes, prompts, pipes.

mod account;
mod daemon;
mod device;
mod events;
mod fake;
mod file;
mod message;
mod outbox;
mod people;
mod private;
mod read;
mod refusals;
mod rpc;
mod search;
mod shell;
// On a pseudo-terminal, which only Unix makes so.
#[cfg(unix)]
mod terminal;
