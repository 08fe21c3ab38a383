//! The database's form: its migrations, applied at every start before anything else touches the tables.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension};

mod embedded {
    refinery::embed_migrations!("src/history/migrations");
}

/// The form of a database that has none yet.
const NONE: i64 = 0;

/// The form that this build reads and writes.
pub(super) fn known() -> i64 {
    let runner = embedded::migrations::runner();
    runner.get_migrations().iter().map(|one| i64::from(one.version())).max().unwrap_or(NONE)
}

/// The form of the database at `file`, which is there; a look that changes nothing, whoever wrote it.
pub(super) fn found(file: &Path) -> rusqlite::Result<i64> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let looked = Connection::open_with_flags(file.canonicalize().unwrap_or_else(|_| file.to_owned()), flags)?;
    let table = "SELECT 1 FROM sqlite_schema WHERE name = 'refinery_schema_history'";
    if looked.query_row(table, [], |_| Ok(())).optional()?.is_none() {
        return Ok(NONE);
    }
    let newest = "SELECT max(version) FROM refinery_schema_history";
    looked.query_row(newest, [], |row| row.get::<_, Option<i64>>(0)).map(|found| found.unwrap_or(NONE))
}

/// Brings the database to the form of this build, in one commit: by itself the library commits a step apart from the record that it was
/// taken, and a chatd that is killed in between could never open the history again.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), refinery::Error> {
    embedded::migrations::runner().set_grouped(true).run(connection).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_migration_that_ends_early_has_changed_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("chat.db");
        let mut open = Connection::open(&file).expect("a database");
        // the table of a later step is in the way
        open.execute_batch("CREATE TABLE transfer (x)").expect("made");
        assert!(migrate(&mut open).is_err());
        assert_eq!(found(&file).expect("looked at"), NONE);
        let tables = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'refinery%'";
        assert_eq!(open.query_row(tables, [], |row| row.get::<_, i64>(0)).expect("counted"), 1);
        open.execute_batch("DROP TABLE transfer").expect("gone");
        migrate(&mut open).expect("nothing is in the way");
        assert_eq!(found(&file).expect("looked at"), known());
    }
}
