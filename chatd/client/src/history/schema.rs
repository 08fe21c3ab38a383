//! The database's form: its migrations, applied at every start before anything else touches the tables.

mod embedded {
    refinery::embed_migrations!("src/history/migrations");
}

/// Brings the database to the form of this build. A database of a newer build is refused.
pub(super) fn migrate(connection: &mut rusqlite::Connection) -> Result<(), refinery::Error> {
    embedded::migrations::runner().run(connection).map(|_| ())
}
