//! Searching the history: by words through the full-text index, by a pattern or by signs that are no words through the texts
//! themselves, a bounded part of them at a time.

use std::collections::BTreeMap;

use rusqlite::types::Value;
use rusqlite::{Connection, params, params_from_iter};

use super::convert::{self, COLUMNS, FROM, i};
use super::read::weight;
use super::{Hit, Pattern, Row, Search};

type Result<T> = rusqlite::Result<T>;

/// Messages found that one page holds at most.
const PAGE_HITS: usize = 500;
/// Messages looked at for one page where there is no index: some tens of milliseconds, as other readers wait meanwhile.
const SCAN_ROWS: usize = 10_000;
/// Bytes looked at for one page where there is no index.
const SCAN_BYTES: usize = 8 << 20;
/// Bytes in JSON of the messages around a found one: more of them are left out, the farthest first.
const CONTEXT_BYTES: usize = 64 << 10;
/// A word of at least so many letters also finds longer ones that begin with it; a shorter one would find half of everything.
/// In scripts without blanks between words, where the index takes a whole run of letters for one, a single letter says as much.
const PREFIX_FROM: usize = 3;
/// Only texts of people are searched: what the index holds.
const IS_TEXT: &str =
    "m.sender <> '' AND (m.content_type = '' OR m.content_type = 'text/plain' OR m.content_type LIKE 'text/plain;%')";

/// A page of what was found, oldest first, and the place to go on behind if there may be more.
pub(super) fn search(c: &Connection, search: &Search) -> Result<(Vec<Hit>, Option<u64>)> {
    let (hits, next) = match Looked::at(&search.pattern) {
        Looked { words: Some(words), signs, .. } => indexed(c, search, &words, &signs)?,
        looked => scanned(c, search, &looked)?,
    };
    if search.context == 0 {
        let alone = |row: Row| Hit { group: row.index, row, found: true };
        return Ok((hits.into_iter().map(alone).collect(), next));
    }
    Ok((with_context(c, hits, search.context)?, next))
}

/// What is looked for.
struct Looked<'a> {
    /// An expression for the index.
    words: Option<String>,
    /// Must be in the text as they are: the index knows no signs.
    signs: Vec<&'a str>,
    pattern: Option<&'a regex::Regex>,
}

impl Looked<'_> {
    fn at(pattern: &Pattern) -> Looked<'_> {
        match pattern {
            Pattern::Regex(regex) => Looked { words: None, signs: Vec::new(), pattern: Some(regex) },
            Pattern::Words(text) => {
                let has_word = |word: &&str| word.chars().any(char::is_alphanumeric);
                let (words, signs): (Vec<&str>, Vec<&str>) = text.split_whitespace().partition(has_word);
                let words = (!words.is_empty()).then(|| words.into_iter().map(quoted).collect::<Vec<_>>().join(" "));
                Looked { words, signs, pattern: None }
            }
        }
    }

    fn fits(&self, body: &[u8]) -> bool {
        let text = String::from_utf8_lossy(body);
        self.signs.iter().all(|sign| text.contains(sign)) && self.pattern.is_none_or(|regex| regex.is_match(&text))
    }
}

/// A word as the index takes it: between quotes nothing is an operator.
fn quoted(word: &str) -> String {
    let letters = word.chars().filter(|c| c.is_alphanumeric()).count();
    let prefix = if letters >= PREFIX_FROM || !word.is_ascii() { " *" } else { "" };
    format!("\"{}\"{prefix}", word.replace('"', "\"\""))
}

/// Conditions beside the text, with their values behind those that are there.
fn conditions(search: &Search, values: &mut Vec<Value>) -> String {
    let mut text = String::new();
    let mut add = |condition: &str, value: Value| {
        values.push(value);
        text.push_str(&format!(" AND {condition} ?{}", values.len()));
    };
    if let Some(peer) = &search.peer {
        add("m.peer =", Value::Text(peer.clone()));
    }
    if let Some(from) = &search.from {
        add("m.sender =", Value::Text(from.clone()));
    }
    if let Some(since) = search.since_ms {
        add("m.at_ms >=", Value::Integer(since));
    }
    text
}

fn indexed(c: &Connection, search: &Search, words: &str, signs: &[&str]) -> Result<(Vec<Row>, Option<u64>)> {
    let mut values = vec![Value::Integer(i(search.after)), Value::Text(words.to_owned())];
    let more = conditions(search, &mut values);
    // The index drives the join: its places come in order, so that a page ends early.
    let sql = format!(
        "SELECT {COLUMNS} FROM search CROSS JOIN message m ON m.idx = search.rowid LEFT JOIN receipt r ON r.peer = m.peer \
         WHERE search MATCH ?2 AND search.rowid > ?1{more} ORDER BY search.rowid"
    );
    let mut statement = c.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let looked = Looked { words: None, signs: signs.to_vec(), pattern: None };
    let mut page = Page::new(search.page_bytes);
    while let Some(row) = rows.next()? {
        let row = convert::row(row)?;
        if looked.fits(&row.body) && !page.take(row) {
            break;
        }
    }
    Ok(page.ended(None))
}

fn scanned(c: &Connection, search: &Search, looked: &Looked<'_>) -> Result<(Vec<Row>, Option<u64>)> {
    let mut values = vec![Value::Integer(i(search.after))];
    let more = conditions(search, &mut values);
    let sql = format!("SELECT {COLUMNS} {FROM} WHERE m.idx > ?1 AND {IS_TEXT}{more} ORDER BY m.idx LIMIT {SCAN_ROWS}");
    let mut statement = c.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut page = Page::new(search.page_bytes);
    let (mut seen, mut bytes, mut last) = (0, 0, None);
    while let Some(row) = rows.next()? {
        let row = convert::row(row)?;
        seen += 1;
        bytes += row.body.len();
        let index = row.index;
        if looked.fits(&row.body) && !page.take(row) {
            return Ok(page.ended(None));
        }
        last = Some(index);
        if bytes >= SCAN_BYTES {
            return Ok(page.ended(last));
        }
    }
    Ok(page.ended(last.filter(|_| seen == SCAN_ROWS)))
}

/// Rows up to a page's bounds.
struct Page {
    rows: Vec<Row>,
    bytes: usize,
    page_bytes: usize,
    full: bool,
}

impl Page {
    fn new(page_bytes: usize) -> Page {
        Page { rows: Vec::new(), bytes: 0, page_bytes, full: false }
    }

    /// False: it does not fit any more.
    fn take(&mut self, row: Row) -> bool {
        self.bytes += weight(&row);
        self.full = !self.rows.is_empty() && (self.bytes > self.page_bytes || self.rows.len() == PAGE_HITS);
        if !self.full {
            self.rows.push(row);
        }
        !self.full
    }

    /// The page, and where to go on: behind its last row when more did not fit, else where the search got to.
    fn ended(self, looked_to: Option<u64>) -> (Vec<Row>, Option<u64>) {
        let next = if self.full { self.rows.last().map(|row| row.index) } else { looked_to };
        (self.rows, next)
    }
}

/// The messages around each found one in its conversation; where they meet, they are one group.
fn with_context(c: &Connection, hits: Vec<Row>, context: u32) -> Result<Vec<Hit>> {
    let mut groups: Vec<BTreeMap<u64, Hit>> = Vec::new();
    let mut newest: BTreeMap<String, usize> = BTreeMap::new();
    for hit in hits {
        let peer = hit.peer().to_owned();
        let around = around(c, &hit, &peer, context)?;
        let met = newest.get(&peer).copied().filter(|group| {
            let group = &groups[*group];
            group.contains_key(&hit.index) || around.iter().any(|row| group.contains_key(&row.index))
        });
        let group = met.unwrap_or(groups.len());
        if group == groups.len() {
            groups.push(BTreeMap::new());
            newest.insert(peer, group);
        }
        for row in around {
            groups[group].entry(row.index).or_insert(Hit { group: 0, row, found: false });
        }
        groups[group].insert(hit.index, Hit { group: 0, row: hit, found: true });
    }
    Ok(groups.into_iter().flat_map(numbered).collect())
}

/// A group is called by the place of its first message.
fn numbered(group: BTreeMap<u64, Hit>) -> impl Iterator<Item = Hit> {
    let first = group.keys().next().copied().unwrap_or_default();
    group.into_values().map(move |hit| Hit { group: first, ..hit })
}

/// Up to `context` messages on each side, the nearest first, as many as fit.
fn around(c: &Connection, hit: &Row, peer: &str, context: u32) -> Result<Vec<Row>> {
    let side = |condition: &str| -> Result<Vec<Row>> {
        let sql = format!("SELECT {COLUMNS} {FROM} WHERE m.peer = ?1 AND m.idx {condition} LIMIT ?3");
        c.prepare_cached(&sql)?.query_map(params![peer, i(hit.index), context], convert::row)?.collect()
    };
    let mut sides = [side("< ?2 ORDER BY m.idx DESC")?.into_iter(), side("> ?2 ORDER BY m.idx")?.into_iter()];
    let (mut rows, mut bytes) = (Vec::new(), 0);
    for turn in 0..2 * context as usize {
        let Some(row) = sides[turn % 2].next() else { continue };
        bytes += weight(&row);
        if bytes > CONTEXT_BYTES {
            break;
        }
        rows.push(row);
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_data() {
        let of = |text: &str| {
            let pattern = Pattern::Words(text.to_owned());
            let looked = Looked::at(&pattern);
            (looked.words, looked.signs.into_iter().map(str::to_owned).collect::<Vec<_>>())
        };
        assert_eq!(of("disk OR 9"), (Some(r#""disk" * "OR" "9""#.into()), vec![]));
        assert_eq!(of(r#"say "hi" NEAR("#), (Some(r#""say" * """hi""" "NEAR(" *"#.into()), vec![]));
        assert_eq!(of("91% :-)"), (Some(r#""91%""#.into()), vec![":-)".into()]));
        assert_eq!(of("%% *"), (None, vec!["%%".into(), "*".into()]));
    }
}
