-- Named cursors: how far a reader of this history got, by its own word. Everything up to idx was acknowledged.
CREATE TABLE cursor (
    name  TEXT PRIMARY KEY,
    idx   INTEGER NOT NULL,
    at_ms INTEGER NOT NULL
) WITHOUT ROWID;
