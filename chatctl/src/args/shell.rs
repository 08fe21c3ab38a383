//! The flags of `shell`.

use std::path::PathBuf;

use clap::Args;

use super::TrustArgs;

/// `shell`
#[derive(Debug, Args)]
pub struct ShellArgs {
    /// Account; the profile's by default
    pub user: Option<String>,
    /// Server; the profile's by default
    #[arg(long, value_name = "HOST[:PORT]")]
    pub server: Option<String>,
    /// Read the password from F
    #[arg(long, value_name = "F")]
    pub password_file: Option<PathBuf>,
    /// Name of this device; the host name by default
    #[arg(long, value_name = "NAME")]
    pub device: Option<String>,
    /// End another device's session where the server allows one only
    #[arg(long)]
    pub take_over: bool,
    #[command(flatten)]
    pub trust: TrustArgs,
}
