//! Black-box tests over the real binaries, one module per noun; run by `tests/run`.

mod account;
mod classic;
mod config;
mod daemon;
mod devices;
mod events;
mod exit_codes;
mod file;
mod help;
mod hints;
mod hooks;
mod kill;
mod machine;
mod message;
mod nat;
mod operator;
mod people;
mod private;
mod readme;
mod restore;
mod run;
mod scripts;
mod settings;
mod shell;
mod text;
mod trace;
