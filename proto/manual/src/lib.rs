//! How the programs explain themselves, from the one definition that each has of its command line and of its JSON objects:
//! pages of the manual, JSON Schema, completion scripts, and which variables of the environment stand for flags. Used by chatctl,
//! chatd and chat-server; imports none of them.

pub mod environment;
pub mod format;
pub mod pages;
pub mod shells;
