//! `chatctl shell`: a line-mode client. One session: who is there, lines in, results out, and what happens meanwhile shown as it comes.
//!
//! [`mod@line`] says what a line means, [`question`] what y and n settle, [`login`] who is there, [`act`] does what a line says, [`screen`]
//! owns the terminal or the pipe, [`session`] ties them together.

mod act;
mod editor;
pub mod line;
mod login;
mod names;
mod plain;
mod question;
mod screen;
mod session;
mod terminal;

use crate::args;
use crate::commands::Context;
use crate::output::{End, Form, Trouble};
use crate::words::troubles;

/// What a person or a script entered.
#[derive(Debug)]
pub enum Entered {
    /// A line, without its end.
    Line(String),
    /// Something that is no line; why.
    Refused(String),
    /// Nothing: the line was given up (Ctrl-C).
    Cleared,
    /// The input ended (Ctrl-D).
    End,
    /// The input cannot be read any more.
    Failed(Trouble),
}

/// `shell`.
pub async fn run(ctx: &mut Context, args: args::ShellArgs) -> Result<(), End> {
    if ctx.out.form != Form::Human {
        return Err(
            troubles::usage("the shell speaks to people; for programs there is watch --json.", "help watch").into()
        );
    }
    match login::enter(ctx, args).await? {
        Some(entry) => session::run(ctx, entry).await,
        None => Ok(()),
    }
}
