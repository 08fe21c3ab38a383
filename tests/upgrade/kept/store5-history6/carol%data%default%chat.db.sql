PRAGMA user_version = 0;
BEGIN;
CREATE TABLE refinery_schema_history(
             version int4 PRIMARY KEY,
             name VARCHAR(255),
             applied_on VARCHAR(255),
             checksum VARCHAR(255));
INSERT INTO "refinery_schema_history" VALUES(1,'history','2026-11-27T16:01:08.387053706Z','454848487224083810');
INSERT INTO "refinery_schema_history" VALUES(2,'cursor','2026-11-27T16:01:08.38706288Z','13400203136811106824');
INSERT INTO "refinery_schema_history" VALUES(3,'hooks','2026-11-27T16:01:08.387064001Z','8402726985753410854');
INSERT INTO "refinery_schema_history" VALUES(4,'trace','2026-11-27T16:01:08.387065143Z','7182698466711745575');
INSERT INTO "refinery_schema_history" VALUES(5,'search','2026-11-27T16:01:08.387066024Z','8873462802583552649');
INSERT INTO "refinery_schema_history" VALUES(6,'void','2026-11-27T16:01:08.387066916Z','1686955862508504416');
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID;
INSERT INTO "meta" VALUES('cursor',x'00000000000000020b8c8ca902fbc1b50000000000000009');
INSERT INTO "meta" VALUES('device',x'd8ec73e163ce78291721cf2b16f212c1');
INSERT INTO "meta" VALUES('seen',x'00000000000000020b8c8ca902fbc1b5');
INSERT INTO "meta" VALUES('server',x'57c6409754798b73f46269fceae66577fa5d5ae9238664353b09267979980cd0');
CREATE TABLE stream (
    ord  INTEGER PRIMARY KEY AUTOINCREMENT,
    inc  INTEGER NOT NULL UNIQUE,
    last INTEGER NOT NULL
);
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
, sent_first_ms INTEGER, sent_last_ms INTEGER, sends INTEGER NOT NULL DEFAULT 0, here_ms INTEGER, over_ms INTEGER, read_ms INTEGER, void INTEGER NOT NULL DEFAULT 0);
INSERT INTO "message" VALUES(1,'mp5ka5172mvxsbp9',2,0,'alice','','alice',x'937a26d738181e478b91958dba265620',883866205019797341,5,'text/plain',x'68656c6c6f20616c6c',1795795269556,1,1,NULL,2,832194688684114357,9,NULL,NULL,0,0,0,0,NULL,NULL,0,1795795269586,NULL,NULL,0);
CREATE TABLE instream (
    device  BLOB    NOT NULL,
    inc     INTEGER NOT NULL,
    highest INTEGER NOT NULL,
    PRIMARY KEY (device, inc)
) WITHOUT ROWID;
INSERT INTO "instream" VALUES(x'937a26d738181e478b91958dba265620',883866205019797341,5);
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
