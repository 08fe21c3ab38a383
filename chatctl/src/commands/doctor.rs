//! `doctor`: what is wrong on the way from here to a message, and what mends it. The looking is done in `crate::doctor`.

use super::Context;
use crate::args;
use crate::doctor::{self, Finding, Verdict, bundle};
use crate::exit::Exit;
use crate::json::{Json, members};
use crate::output::{End, Form};
use crate::words::{self, troubles};

/// `doctor`. A FAIL is exit 1.
pub async fn doctor(ctx: &mut Context, args: args::Doctor) -> Result<(), End> {
    let found = doctor::examine(ctx).await?;
    let bundle = match &args.bundle {
        Some(file) => {
            let report = bundle::report(ctx, &found).await?;
            bundle::write(file, &report.text).map_err(|error| troubles::cannot_write(file, &error))?;
            Some((file, report))
        }
        None => None,
    };
    match ctx.out.form {
        Form::Json => {
            let items = members!({ "items": Json::list(found.iter().map(Finding::json)) });
            let bundle = bundle.map(|(file, _)| file.to_string_lossy());
            ctx.out.object("doctor", bundle.map_or(items.clone(), |file| items.with("bundle", &file)))?;
        }
        Form::Plain => found.iter().try_for_each(|one| {
            ctx.out.row(&[one.verdict.word(), one.check, &one.detail, one.hint.as_deref().unwrap_or_default()])
        })?,
        Form::Human => {
            // A quiet call is told what needs it alone.
            let told = |one: &&Finding| !ctx.out.quiet || one.verdict > Verdict::Ok;
            found.iter().filter(told).try_for_each(|one| ctx.out.line(&words::doctor::finding(one)))?;
            if let Some((file, report)) = bundle {
                let bytes = report.text.len();
                ctx.out.note(&words::doctor::bundled(file, bytes, report.alone, &ctx.out.chatctl));
            }
        }
    }
    let worst = found.iter().map(|one| one.verdict).max();
    if worst == Some(Verdict::Fail) { Err(End::Quiet(Exit::No)) } else { Ok(()) }
}
