//! The arguments of `chat-server`; `--help` and the manual come from here.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// The chat server: accounts, inboxes, relaying.
#[derive(Debug, Parser)]
#[command(name = "chat-server", version, max_term_width = 100)]
pub struct Args {
    /// Keep config, data and admin socket under this directory: for trying out and tests
    #[arg(long, global = true, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Use this configuration file
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print results as JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Write a commented configuration, make the server's key and database, and print the fingerprint
    Init(Init),
    /// Serve, in the foreground
    Run(Run),
    /// Certificates and the server's key
    #[command(subcommand)]
    Cert(CertVerb),
    /// Look for mistakes: exit 0 clean, 14 errors
    #[command(subcommand)]
    Check(CheckVerb),
    /// Accounts
    #[command(subcommand)]
    User(UserVerb),
}

/// `init`
#[derive(Debug, clap::Args)]
pub struct Init {
    /// The name under which clients reach this server
    #[arg(long, value_name = "HOST")]
    pub name: Option<String>,
    /// Make a certificate too; clients trust the server by its fingerprint
    #[arg(long)]
    pub self_signed: bool,
}

/// `run`
#[derive(Debug, clap::Args)]
pub struct Run {
    /// Listen here instead of where the configuration says; may be given several times
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Vec<SocketAddr>,
}

/// `cert`
#[derive(Debug, Subcommand)]
pub enum CertVerb {
    /// Print the fingerprint of the server's key, which clients compare
    Fingerprint,
    /// Make a certificate where the configuration wants one; clients trust the server by its fingerprint
    SelfSigned,
}

/// `check`
#[derive(Debug, Subcommand)]
pub enum CheckVerb {
    /// Check the configuration
    Config,
}

/// `user`
#[derive(Debug, Subcommand)]
pub enum UserVerb {
    /// List all accounts
    List,
}
