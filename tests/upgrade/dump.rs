//! Databases as text: a dump that makes the same rows in the same form, and what is compared of two of them.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::types::Value as Cell;
use rusqlite::{Connection, OpenFlags, Statement};

/// A database as SQL that makes the same rows, in the form in which its build made the tables.
pub fn dumped(file: &Path) -> String {
    let open = Connection::open(file).expect("a database");
    let version: i64 = open.query_row("PRAGMA user_version", [], |row| row.get(0)).expect("a number");
    let mut sql = format!("PRAGMA user_version = {version};\nBEGIN;\n");
    let made = |kind: &str| -> Vec<(String, String)> {
        let mut asked = open
            .prepare(
                "SELECT name, sql FROM sqlite_schema WHERE type = ?1 AND sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
                 ORDER BY rowid",
            )
            .expect("the schema");
        let rows = asked.query_map([kind], |row| Ok((row.get(0)?, row.get(1)?))).expect("the schema");
        rows.collect::<Result<_, _>>().expect("the schema")
    };
    let tables = made("table");
    let is_virtual = |sql: &str| sql.starts_with("CREATE VIRTUAL");
    let owners: Vec<&str> = tables.iter().filter(|(_, sql)| is_virtual(sql)).map(|(name, _)| name.as_str()).collect();
    let is_shadow =
        |name: &str| owners.iter().any(|owner| name.strip_prefix(owner).is_some_and(|rest| rest.starts_with('_')));
    for (name, made) in &tables {
        if is_shadow(name) {
            // made with its owner, which fills it with something
            sql += &format!("DELETE FROM \"{name}\";\n");
        } else {
            sql += &format!("{made};\n");
        }
        if !is_virtual(made) {
            sql += &rows(&open, name);
        }
    }
    if tables.iter().any(|(_, sql)| sql.contains("AUTOINCREMENT")) {
        sql += &format!("DELETE FROM sqlite_sequence;\n{}", rows(&open, "sqlite_sequence"));
    }
    for (_, made) in made("index").into_iter().chain(made("trigger")) {
        sql += &format!("{made};\n");
    }
    sql + "COMMIT;\n"
}

fn rows(open: &Connection, table: &str) -> String {
    let mut asked = open.prepare(&format!("SELECT * FROM \"{table}\"")).expect("a table");
    cells(&mut asked).iter().map(|cells| format!("INSERT INTO \"{table}\" VALUES({cells});\n")).collect()
}

/// Each row's cells as SQL has them.
fn cells(asked: &mut Statement<'_>) -> Vec<String> {
    let width = asked.column_count();
    let rows = asked.query_map([], |row| {
        let cells: Vec<String> =
            (0..width).map(|index| Ok(literal(&row.get(index)?))).collect::<rusqlite::Result<_>>()?;
        Ok(cells.join(","))
    });
    rows.expect("a table").collect::<Result<_, _>>().expect("its rows")
}

fn literal(cell: &Cell) -> String {
    match cell {
        Cell::Null => "NULL".to_owned(),
        Cell::Integer(number) => number.to_string(),
        Cell::Real(number) => format!("{number:?}"),
        Cell::Text(text) => format!("'{}'", text.replace('\'', "''")),
        Cell::Blob(bytes) => format!("x'{}'", hex(bytes)),
    }
}

pub fn restored(sql: &str, file: &Path) {
    let open = Connection::open(file).expect("a fresh database");
    open.pragma_update(None, "journal_mode", "WAL").expect("as its programs have it");
    open.execute_batch(sql).expect("a dump of ours");
}

/// Bytes in hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The rows of a database, by table, with the columns that they are made of.
#[derive(Debug)]
pub struct Content(BTreeMap<String, Table>);

#[derive(Debug)]
struct Table {
    columns: Vec<String>,
    /// Sorted.
    rows: Vec<String>,
}

impl Content {
    /// Of a sound database, but for the tables whose names begin with one of `left_out`. Where `old` has a table, of its columns alone.
    pub fn of(file: &Path, old: Option<&Content>, left_out: &[&str]) -> Content {
        let open = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("a database");
        let verdict: String = open.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).expect("checked");
        assert_eq!(verdict, "ok", "{}", file.display());
        let names = "SELECT name FROM sqlite_schema WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%'";
        let mut asked = open.prepare(names).expect("a schema");
        let names: Vec<String> =
            asked.query_map([], |row| row.get(0)).expect("a schema").collect::<Result<_, _>>().expect("a schema");
        let wanted = |name: &String| !left_out.iter().any(|out| name.starts_with(out));
        let table = |name: String| {
            let columns = old.and_then(|old| old.0.get(&name)).map(|table| &table.columns);
            let found = Table::of(&open, &name, columns);
            (name, found)
        };
        Content(names.into_iter().filter(wanted).map(table).collect())
    }

    /// All rows of `old` are here, once, and no others in its tables.
    #[track_caller]
    pub fn is(&self, old: &Content, what: &str) {
        for (name, table) in &old.0 {
            let now = self.0.get(name).unwrap_or_else(|| panic!("{what}: the table {name} is gone"));
            assert_eq!(now.rows, table.rows, "{what}: the rows of {name}");
        }
    }
}

impl Table {
    fn of(open: &Connection, name: &str, columns: Option<&Vec<String>>) -> Table {
        let list = columns.map_or_else(|| "*".to_owned(), |columns| format!("\"{}\"", columns.join("\", \"")));
        let mut asked = open.prepare(&format!("SELECT {list} FROM \"{name}\"")).expect("no column is gone");
        let columns = asked.column_names().map(str::to_owned).collect();
        let mut rows = cells(&mut asked);
        rows.sort();
        Table { columns, rows }
    }
}
