//! How a daemon's `main` ends: the codes of sysexits.h, whose names systemd prints. Every `main` here uses them.

/// All is well.
pub const OK: u8 = 0;
/// The arguments make no sense.
pub const USAGE: u8 = 64;
/// What the daemon needs is not there: its port is taken, another one runs.
pub const UNAVAILABLE: u8 = 69;
/// A fault of ours.
pub const SOFTWARE: u8 = 70;
/// The system refused a basic service: fork, pipe, threads.
pub const OS: u8 = 71;
/// A file or directory could not be made.
pub const CANNOT_CREATE: u8 = 73;
/// Storage failed.
pub const IO: u8 = 74;
/// Something may not be used, by its owner or mode.
pub const PERMISSION: u8 = 77;
/// The configuration is wrong; no restart will help.
pub const CONFIG: u8 = 78;

/// What a code means, for manuals and logs.
pub fn meaning(code: u8) -> &'static str {
    match code {
        OK => "done",
        USAGE => "wrong usage",
        UNAVAILABLE => "port taken, or already running",
        SOFTWARE => "internal error",
        OS => "the system refused a basic service",
        CANNOT_CREATE => "cannot create a file",
        IO => "storage error",
        PERMISSION => "permission denied",
        CONFIG => "wrong configuration",
        _ => "unknown",
    }
}
