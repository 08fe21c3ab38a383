//! The flags of `call`.

use clap::Args;

/// `call`
#[derive(Debug, Args)]
pub struct CallArgs {
    /// The method: named as the command, e.g. message, outbox_cancel
    pub method: String,
    /// An object of parameters, named as the long flags; "-": read it from stdin
    #[arg(value_name = "JSON")]
    pub parameters: Option<String>,
}
