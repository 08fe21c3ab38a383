-- The history and outbox of one profile. Numbers that are unsigned on the wire are stored as the same 64 bits.
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID;

-- Own sending streams in the order of their creation; last = highest place given.
CREATE TABLE stream (
    ord  INTEGER PRIMARY KEY AUTOINCREMENT,
    inc  INTEGER NOT NULL UNIQUE,
    last INTEGER NOT NULL
);

-- Every message, own and others', in the order in which this host learnt of it.
-- own: 0 of somebody else, 1 sent by this device, 2 sent by another device of this account.
-- state (own): 0 queued, 1 accepted, 2 failed, 3 expired. delivered and read follow from `receipt`.
CREATE TABLE message (
    idx          INTEGER PRIMARY KEY AUTOINCREMENT,
    rid          TEXT    NOT NULL,
    kind         INTEGER NOT NULL,
    own          INTEGER NOT NULL,
    sender       TEXT    NOT NULL,
    recipient    TEXT    NOT NULL,
    peer         TEXT    NOT NULL,
    device       BLOB    NOT NULL,
    inc          INTEGER NOT NULL,
    cseq         INTEGER NOT NULL,
    content_type TEXT    NOT NULL,
    body         BLOB    NOT NULL,
    at_ms        INTEGER NOT NULL,
    state        INTEGER NOT NULL,
    unread       INTEGER NOT NULL DEFAULT 0,
    code         INTEGER,
    epoch        INTEGER,
    nonce        INTEGER,
    n            INTEGER,
    key          TEXT,
    h            BLOB,
    online       INTEGER NOT NULL DEFAULT 0,
    audience     INTEGER NOT NULL DEFAULT 0,
    missed       INTEGER NOT NULL DEFAULT 0,
    looked       INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX message_key ON message (key) WHERE key IS NOT NULL;
CREATE INDEX message_rid ON message (rid);
CREATE INDEX message_peer ON message (peer, idx);
CREATE INDEX message_unread ON message (peer, idx) WHERE unread = 1;
CREATE INDEX message_unread_all ON message (idx) WHERE unread = 1;
CREATE UNIQUE INDEX message_own ON message (inc, cseq) WHERE own = 1;
CREATE INDEX message_open ON message (inc, cseq) WHERE own = 1 AND state = 0;
CREATE INDEX message_failed ON message (idx) WHERE own = 1 AND state >= 2 AND looked = 0;
CREATE INDEX message_sent ON message (peer, n) WHERE own > 0 AND state = 1;

-- The receiving side's whole memory of a stream (contract, P3).
CREATE TABLE instream (
    device  BLOB    NOT NULL,
    inc     INTEGER NOT NULL,
    highest INTEGER NOT NULL,
    PRIMARY KEY (device, inc)
) WITHOUT ROWID;

-- One row per person: newest message, unread ones, the highest place of a message to them.
CREATE TABLE conversation (
    peer   TEXT PRIMARY KEY,
    last   INTEGER NOT NULL,
    unread INTEGER NOT NULL DEFAULT 0,
    sent_n INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX conversation_last ON conversation (last);
CREATE INDEX conversation_unread ON conversation (unread) WHERE unread > 0;

-- How far this account read somebody's messages; told to the server until it confirms.
CREATE TABLE mark (
    peer      TEXT PRIMARY KEY,
    idx       INTEGER NOT NULL,
    epoch     INTEGER NOT NULL,
    nonce     INTEGER NOT NULL,
    n         INTEGER NOT NULL,
    confirmed INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX mark_open ON mark (peer) WHERE confirmed = 0;

-- How far somebody got with the messages of this account.
CREATE TABLE receipt (
    peer      TEXT PRIMARY KEY,
    delivered INTEGER NOT NULL,
    read      INTEGER NOT NULL
) WITHOUT ROWID;
