//! `export`: what the server keeps, one JSON object a line, oldest or first in the alphabet first.

use std::io::{self, Write as _};
use std::process::ExitCode;

use chat_server::admin::Talk;
use chat_server::admin::audit::AuditPage;
use chat_server::config::Config;
use serde::Serialize;

use super::{rfc3339, run, user};
use crate::args::ExportVerb;

/// Does one of them.
pub fn act(config: &Config, verb: &ExportVerb) -> anyhow::Result<ExitCode> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let written = run(async {
        let mut talk = Talk::open(config, false).await?;
        let written = match verb {
            ExportVerb::Users { hashes } => users(&mut talk, *hashes, &mut out).await,
            ExportVerb::Audit => audit(&mut talk, &mut out).await,
        };
        talk.close().await;
        written
    });
    match written.and_then(|()| Ok(out.flush()?)) {
        // Nobody who listens any more is no error.
        Err(error) if is_closed_pipe(&error) => Ok(ExitCode::SUCCESS),
        done => done.map(|()| ExitCode::SUCCESS),
    }
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let kind = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    error.downcast_ref::<io::Error>().is_some_and(kind)
}

async fn users(talk: &mut Talk, hashes: bool, out: &mut impl io::Write) -> anyhow::Result<()> {
    for row in user::all(talk, hashes).await? {
        line(out, &Object { v: 1, r#type: "user", content: user::Item::from(&row) })?;
    }
    Ok(())
}

async fn audit(talk: &mut Talk, out: &mut impl io::Write) -> anyhow::Result<()> {
    let mut from = Some(Default::default());
    while let Some(place) = from {
        let page = talk.ask(AuditPage { from: place }).await?;
        for entry in &page.entries {
            let content = Line { at: rfc3339(entry.at_ms), from: &entry.from, text: &entry.text };
            line(out, &Object { v: 1, r#type: "audit", content })?;
        }
        from = page.next;
    }
    Ok(())
}

fn line(out: &mut impl io::Write, object: &impl Serialize) -> anyhow::Result<()> {
    // To bytes first: the error of a closed pipe stays one of the system's.
    let mut bytes = serde_json::to_vec(object)?;
    bytes.push(b'\n');
    Ok(out.write_all(&bytes)?)
}

/// An object as it is printed, in this order.
#[derive(Serialize)]
struct Object<T> {
    v: u32,
    r#type: &'static str,
    #[serde(flatten)]
    content: T,
}

#[derive(Serialize)]
struct Line<'a> {
    at: String,
    from: &'a str,
    text: &'a str,
}
