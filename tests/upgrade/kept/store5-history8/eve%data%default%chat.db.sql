PRAGMA user_version = 0;
BEGIN;
CREATE TABLE refinery_schema_history(
             version int4 PRIMARY KEY,
             name VARCHAR(255),
             applied_on VARCHAR(255),
             checksum VARCHAR(255));
INSERT INTO "refinery_schema_history" VALUES(1,'history','2026-11-27T16:01:14.838728598Z','454848487224083810');
INSERT INTO "refinery_schema_history" VALUES(2,'cursor','2026-11-27T16:01:14.838740005Z','13400203136811106824');
INSERT INTO "refinery_schema_history" VALUES(3,'hooks','2026-11-27T16:01:14.838741177Z','8402726985753410854');
INSERT INTO "refinery_schema_history" VALUES(4,'trace','2026-11-27T16:01:14.838742238Z','7182698466711745575');
INSERT INTO "refinery_schema_history" VALUES(5,'search','2026-11-27T16:01:14.83874311Z','8873462802583552649');
INSERT INTO "refinery_schema_history" VALUES(6,'void','2026-11-27T16:01:14.838743961Z','1686955862508504416');
INSERT INTO "refinery_schema_history" VALUES(7,'private','2026-11-27T16:01:14.838744342Z','17280473958097740690');
INSERT INTO "refinery_schema_history" VALUES(8,'file','2026-11-27T16:01:14.838744962Z','5998990784427351550');
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID;
INSERT INTO "meta" VALUES('cursor',x'00000000000000026d2e44a358b2be7d0000000000000009');
INSERT INTO "meta" VALUES('device',x'64ab1186b9a9e9ed64e267c3673e33d6');
INSERT INTO "meta" VALUES('seen',x'00000000000000026d2e44a358b2be7d');
INSERT INTO "meta" VALUES('server',x'5cb6b5e1efc267483ff1815d34391dcf40b017257215956c9585c22556afdd9f');
CREATE TABLE stream (
    ord  INTEGER PRIMARY KEY AUTOINCREMENT,
    inc  INTEGER NOT NULL UNIQUE,
    last INTEGER NOT NULL
, peer BLOB);
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
, sent_first_ms INTEGER, sent_last_ms INTEGER, sends INTEGER NOT NULL DEFAULT 0, here_ms INTEGER, over_ms INTEGER, read_ms INTEGER, void INTEGER NOT NULL DEFAULT 0, peer_read INTEGER NOT NULL DEFAULT 0);
INSERT INTO "message" VALUES(1,'y6vf6k1sfts3p1fr',2,0,'alice','','alice',x'64d3f1055503bcf9e00820f4e882116c',-4276940110759455178,5,'text/plain',x'68656c6c6f20616c6c',1795795275202,1,1,NULL,2,7867301067421302397,9,NULL,NULL,0,0,0,0,NULL,NULL,0,1795795275224,NULL,NULL,0,0);
CREATE TABLE instream (
    device  BLOB    NOT NULL,
    inc     INTEGER NOT NULL,
    highest INTEGER NOT NULL,
    PRIMARY KEY (device, inc)
) WITHOUT ROWID;
INSERT INTO "instream" VALUES(x'64d3f1055503bcf9e00820f4e882116c',-4276940110759455178,5);
CREATE TABLE conversation (
    peer   TEXT PRIMARY KEY,
    last   INTEGER NOT NULL,
    unread INTEGER NOT NULL DEFAULT 0,
    sent_n INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
INSERT INTO "conversation" VALUES('alice',1,1,0);
CREATE TABLE mark (
    peer      TEXT PRIMARY KEY,
    idx       INTEGER NOT NULL,
    epoch     INTEGER NOT NULL,
    nonce     INTEGER NOT NULL,
    n         INTEGER NOT NULL,
    confirmed INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE receipt (
    peer      TEXT PRIMARY KEY,
    delivered INTEGER NOT NULL,
    read      INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE cursor (
    name  TEXT PRIMARY KEY,
    idx   INTEGER NOT NULL,
    at_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE hook (
    name     TEXT PRIMARY KEY,
    cursor   INTEGER NOT NULL,
    runs     INTEGER NOT NULL DEFAULT 0,
    failures INTEGER NOT NULL DEFAULT 0,
    last_ms  INTEGER,
    error    TEXT
) WITHOUT ROWID;
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
CREATE TABLE reach (
    peer  TEXT    NOT NULL,
    what  INTEGER NOT NULL,
    n     INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (peer, what, n)
) WITHOUT ROWID;
CREATE VIRTUAL TABLE search USING fts5 (
    text,
    content = '',
    contentless_delete = 1,
    tokenize = "unicode61 remove_diacritics 2"
);
DELETE FROM "search_data";
INSERT INTO "search_data" VALUES(1,x'0102');
INSERT INTO "search_data" VALUES(10,x'00000000ff00000101010100010101010101000001');
INSERT INTO "search_data" VALUES(137438953473,x'000000160430616c6c010203010568656c6c6f0102020408');
DELETE FROM "search_idx";
INSERT INTO "search_idx" VALUES(1,x'',2);
DELETE FROM "search_docsize";
INSERT INTO "search_docsize" VALUES(1,x'02',1);
DELETE FROM "search_config";
INSERT INTO "search_config" VALUES('version',4);
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
DELETE FROM sqlite_sequence;
INSERT INTO "sqlite_sequence" VALUES('message',1);
CREATE UNIQUE INDEX message_key ON message (key) WHERE key IS NOT NULL;
CREATE INDEX message_rid ON message (rid);
CREATE INDEX message_peer ON message (peer, idx);
CREATE INDEX message_unread ON message (peer, idx) WHERE unread = 1;
CREATE INDEX message_unread_all ON message (idx) WHERE unread = 1;
CREATE UNIQUE INDEX message_own ON message (inc, cseq) WHERE own = 1;
CREATE INDEX message_open ON message (inc, cseq) WHERE own = 1 AND state = 0;
CREATE INDEX message_failed ON message (idx) WHERE own = 1 AND state >= 2 AND looked = 0;
CREATE INDEX message_sent ON message (peer, n) WHERE own > 0 AND state = 1;
CREATE INDEX conversation_last ON conversation (last);
CREATE INDEX conversation_unread ON conversation (unread) WHERE unread > 0;
CREATE INDEX mark_open ON mark (peer) WHERE confirmed = 0;
CREATE INDEX letter_dead ON letter (dead, id);
CREATE INDEX message_void ON message (inc, cseq) WHERE void = 1;
CREATE INDEX stream_peer ON stream (peer, ord) WHERE peer IS NOT NULL;
CREATE TRIGGER message_search_new AFTER INSERT ON message
WHEN new.sender <> ''
    AND (new.content_type = '' OR new.content_type = 'text/plain' OR new.content_type LIKE 'text/plain;%')
BEGIN
    INSERT INTO search (rowid, text) VALUES (new.idx, CAST(new.body AS TEXT));
END;
CREATE TRIGGER message_search_changed AFTER UPDATE OF body, content_type, sender ON message
BEGIN
    DELETE FROM search WHERE rowid = old.idx;
    INSERT INTO search (rowid, text)
    SELECT new.idx, CAST(new.body AS TEXT)
    WHERE new.sender <> ''
        AND (new.content_type = '' OR new.content_type = 'text/plain' OR new.content_type LIKE 'text/plain;%');
END;
CREATE TRIGGER message_search_gone AFTER DELETE ON message
BEGIN
    DELETE FROM search WHERE rowid = old.idx;
END;
COMMIT;
