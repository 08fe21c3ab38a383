-- Files that were offered, are under way, or were sent within private sessions. `n` is their order.
CREATE TABLE transfer (
    n         INTEGER PRIMARY KEY,
    id        BLOB    NOT NULL UNIQUE,
    peer      TEXT    NOT NULL,
    device    BLOB    NOT NULL,
    out       INTEGER NOT NULL,
    name      TEXT    NOT NULL,
    size      INTEGER NOT NULL,
    sha256    BLOB    NOT NULL,
    state     TEXT    NOT NULL,
    code      INTEGER,
    by_peer   INTEGER NOT NULL,
    told      INTEGER NOT NULL,
    -- Out: the source. In: where it lies.
    path      TEXT,
    -- Out: when the source was changed last, nanoseconds since 1970.
    changed   INTEGER,
    -- In and taken: the folder, the name there, what happens when the name is taken, kept for its taker.
    folder    TEXT,
    file      TEXT,
    conflict  TEXT,
    hold      INTEGER,
    at_ms     INTEGER NOT NULL
);
