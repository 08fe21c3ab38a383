//! Calls that look through the whole history and mark nothing: search, export.

use chat_proto::control::ErrorData;
use chat_proto::control::message::{Export, Hit, Page, Search, SearchPage};
use chat_proto::fault::Code;
use chat_proto::limits::{CONTEXT_MAX, CONTROL_PAGE_BYTES, PATTERN_MAX, SEARCH_MAX};
use regex::RegexBuilder;

use super::message::{one, recipient};
use super::unreadable;
use crate::daemon::Daemon;
use crate::history::{self, Pattern, Wanted};
use crate::profile::Answer;
use crate::shown;

pub(super) async fn search(d: &Daemon, call: Search) -> Answer<SearchPage> {
    let profile = d.profile(&call.profile).await?;
    let classic = profile.view().classic;
    let name = |user: Option<String>| user.map(|user| recipient(&user, classic)).transpose();
    let search = history::Search {
        pattern: pattern(call.text, call.regex)?,
        peer: name(call.with)?,
        from: name(call.from)?,
        since_ms: call.since_ms,
        after: call.next.unwrap_or(0),
        context: call.context.min(CONTEXT_MAX),
        page_bytes: CONTROL_PAGE_BYTES,
    };
    let (hits, next) = profile.reader.ask(move |history| history.search(&search)).await.map_err(|t| unreadable(&t))?;
    let hit = |hit: history::Hit| Hit { message: shown::message(hit.row), found: hit.found, group: hit.group };
    Ok(SearchPage { items: hits.into_iter().map(hit).collect(), next })
}

fn pattern(text: String, regex: bool) -> Answer<Pattern> {
    let refuse = |detail: String| Err(Box::new(ErrorData { detail: Some(detail), ..Code::BAD_PATTERN.into() }));
    if text.trim().is_empty() {
        return refuse("it is empty".into());
    }
    if text.len() > SEARCH_MAX {
        return refuse(format!("it has more than {SEARCH_MAX} bytes"));
    }
    if !regex {
        return Ok(Pattern::Words(text));
    }
    match RegexBuilder::new(&text).size_limit(PATTERN_MAX).build() {
        Ok(regex) => Ok(Pattern::Regex(regex)),
        // The last line says what is wrong, those before it show where.
        Err(error) => refuse(error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").into()),
    }
}

pub(super) async fn export(d: &Daemon, call: Export) -> Answer<Page> {
    let profile = d.profile(&call.profile).await?;
    let classic = profile.view().classic;
    let after = match (call.next, call.after) {
        (Some(next), _) => next,
        (None, Some(id)) => one(&profile, id).await?.index,
        (None, None) => 0,
    };
    let wanted = Wanted {
        peer: call.user.as_deref().map(|user| recipient(user, classic)).transpose()?,
        since_ms: call.since_ms,
        after,
        page_bytes: CONTROL_PAGE_BYTES,
        ..Wanted::default()
    };
    let (rows, next) = profile.reader.ask(move |history| history.page(&wanted)).await.map_err(|t| unreadable(&t))?;
    Ok(Page { items: rows.into_iter().map(shown::message).collect(), next })
}
