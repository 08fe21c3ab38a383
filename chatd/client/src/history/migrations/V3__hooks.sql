-- Hooks of the configuration: every message up to `cursor` was given to the hook, or is a letter.
CREATE TABLE hook (
    name     TEXT PRIMARY KEY,
    cursor   INTEGER NOT NULL,
    runs     INTEGER NOT NULL DEFAULT 0,
    failures INTEGER NOT NULL DEFAULT 0,
    last_ms  INTEGER,
    error    TEXT
) WITHOUT ROWID;

-- Events for which a hook failed: tried again, or dead. A message is named by its place, anything else is kept as it was said.
CREATE TABLE letter (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    hook    TEXT    NOT NULL,
    idx     INTEGER,
    said    TEXT,
    sender  TEXT,
    at_ms   INTEGER NOT NULL,
    tries   INTEGER NOT NULL,
    dead    INTEGER NOT NULL,
    outcome TEXT    NOT NULL
);
CREATE INDEX letter_dead ON letter (dead, id);
