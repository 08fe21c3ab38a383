//! The flags of `file`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use crate::time::parse_duration;

/// `file`
#[derive(Debug, Subcommand)]
pub enum File {
    /// Offer files to the peer of a private session; chatd sends them once they are accepted
    #[command(before_help = "Examples:
  chatctl file send bob report.pdf
  chatctl file send bob *.jpg --wait

What your home directory hides (names that begin with a dot: keys, passwords) is not sent; a copy
elsewhere is.
")]
    Send(FileSend),
    /// List offers and transfers
    List,
    /// Take an offered file
    #[command(before_help = "Examples:
  chatctl file accept 9f3c
  chatctl file accept 9f3c -o /srv/reports/ --conflict rename
  chatctl file accept 9f3c -o - | tar xz

Without -o it goes into the directory files.dir of chatd's configuration. The peer names the file,
never the place.
")]
    Accept(FileAccept),
    /// Say no to an offered file
    Decline {
        /// Its id, or the end of it
        id: String,
    },
    /// Give up an offer or a transfer, of either side
    Cancel {
        /// Its id, or the end of it
        id: String,
    },
}

/// `file send`
#[derive(Debug, Args)]
pub struct FileSend {
    /// To whom
    pub user: String,
    /// The files
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Follow them to their end, or for DURATION (exit 9: they go on)
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, value_parser = parse_duration)]
    pub wait: Option<Option<Duration>>,
}

/// `file accept`
#[derive(Debug, Args)]
pub struct FileAccept {
    /// Its id, or the end of it
    pub id: String,
    /// Wait, and put it at PATH, a file or a directory ("-": stdout)
    #[arg(short, long, value_name = "PATH")]
    pub output: Option<PathBuf>,
    /// Where a file is already: fail, skip, overwrite, rename (to "name (2)"), or resume an earlier try
    #[arg(long, value_name = "HOW", default_value = "fail", hide_possible_values = true)]
    pub conflict: OnConflict,
    /// Follow it to its end, or for DURATION (exit 9: it goes on)
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, value_parser = parse_duration)]
    pub wait: Option<Option<Duration>>,
}

/// What to do where a file is already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnConflict {
    // Refuse.
    Fail,
    // Take nothing, and be content.
    Skip,
    // Replace it once the new one is whole.
    Overwrite,
    // Take another name.
    Rename,
    // Go on with what an earlier try left.
    Resume,
}
