//! The flags of `register`, `login`, `logout`, `status` and `passwd`.

use std::path::PathBuf;

use chat_proto::id::Fingerprint;
use clap::Args;

/// How to trust the server.
#[derive(Clone, Debug, Args)]
pub struct TrustArgs {
    /// Trust the server with this key, and no other
    #[arg(long, value_name = "sha256:FP")]
    pub trust: Option<Fingerprint>,
    /// Verify the server's certificate by those in FILE (PEM)
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
}

/// Where the password comes from; never an argument or a variable. In a unit of systemd also the credential `chat.password`.
#[derive(Clone, Debug, Args)]
pub struct PasswordArgs {
    /// Read the password from stdin
    #[arg(long, conflicts_with = "password_file")]
    pub password_stdin: bool,
    /// Read the password from F
    #[arg(long, value_name = "F")]
    pub password_file: Option<PathBuf>,
}

/// `register`
#[derive(Debug, Args)]
pub struct Register {
    /// Name of the new account
    pub user: Option<String>,
    /// Server to register on
    #[arg(long, value_name = "HOST[:PORT]")]
    pub server: String,
    #[command(flatten)]
    pub password: PasswordArgs,
    /// Read the invitation from F ("-": stdin)
    #[arg(long, value_name = "F")]
    pub invite_file: Option<PathBuf>,
    /// Name of this device; the host name by default
    #[arg(long, value_name = "NAME")]
    pub device: Option<String>,
    #[command(flatten)]
    pub trust: TrustArgs,
}

/// `login`
#[derive(Debug, Args)]
pub struct Login {
    /// Account; the profile's by default
    pub user: Option<String>,
    /// Server; the profile's by default
    #[arg(long, value_name = "HOST[:PORT]")]
    pub server: Option<String>,
    #[command(flatten)]
    pub password: PasswordArgs,
    /// Name of this device; the host name by default
    #[arg(long, value_name = "NAME")]
    pub device: Option<String>,
    /// End another device's session where the server allows one only
    #[arg(long)]
    pub take_over: bool,
    #[command(flatten)]
    pub trust: TrustArgs,
}

/// `logout`
#[derive(Debug, Args)]
pub struct Logout {
    /// The account's other devices too
    #[arg(long)]
    pub all_devices: bool,
    /// Erase history, outbox and device key
    #[arg(long)]
    pub wipe: bool,
    /// Although messages wait in the outbox
    #[arg(long)]
    pub force: bool,
}

/// `status`
#[derive(Debug, Default, Args)]
pub struct Status {
    /// Say it by the exit code: 0 online, 4 not logged in, 5 not connected
    #[arg(long)]
    pub check: bool,
    /// Answer once it is online, or exit 9
    #[arg(long, value_name = "STATE", value_parser = ["online"])]
    pub wait: Option<String>,
}

/// `passwd`
#[derive(Debug, Args)]
pub struct Passwd {
    /// Read the old and the new password from stdin, a line each
    #[arg(long, conflicts_with_all = ["old_password_file", "new_password_file"])]
    pub password_stdin: bool,
    /// Read the old password from F
    #[arg(long, value_name = "F", requires = "new_password_file")]
    pub old_password_file: Option<PathBuf>,
    /// Read the new password from F
    #[arg(long, value_name = "F", requires = "old_password_file")]
    pub new_password_file: Option<PathBuf>,
    /// Log the other devices out: they need the new password
    #[arg(long, conflicts_with = "keep_others")]
    pub revoke_others: bool,
    /// Leave the other devices logged in
    #[arg(long)]
    pub keep_others: bool,
}
