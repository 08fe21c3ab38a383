-- What `trace` shows, by this host's clock: when an own message was put on the link first and last, and how often; when its verdict,
-- or somebody else's message, was written down here; when it expired; when it was read here.
ALTER TABLE message ADD COLUMN sent_first_ms INTEGER;
ALTER TABLE message ADD COLUMN sent_last_ms INTEGER;
ALTER TABLE message ADD COLUMN sends INTEGER NOT NULL DEFAULT 0;
ALTER TABLE message ADD COLUMN here_ms INTEGER;
ALTER TABLE message ADD COLUMN over_ms INTEGER;
ALTER TABLE message ADD COLUMN read_ms INTEGER;

-- When it was known here that somebody had (what = 1) or had read (what = 2) everything up to a place.
CREATE TABLE reach (
    peer  TEXT    NOT NULL,
    what  INTEGER NOT NULL,
    n     INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (peer, what, n)
) WITHOUT ROWID;
