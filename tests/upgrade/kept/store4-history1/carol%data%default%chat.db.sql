PRAGMA user_version = 0;
BEGIN;
CREATE TABLE refinery_schema_history(
             version int4 PRIMARY KEY,
             name VARCHAR(255),
             applied_on VARCHAR(255),
             checksum VARCHAR(255));
INSERT INTO "refinery_schema_history" VALUES(1,'history','2026-11-27T16:01:03.046690185Z','454848487224083810');
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID;
INSERT INTO "meta" VALUES('cursor',x'0000000000000002bf5317dbf000d1570000000000000009');
INSERT INTO "meta" VALUES('device',x'4b9be81c9bdd181c36ff5b4a013b8f5d');
INSERT INTO "meta" VALUES('seen',x'0000000000000002bf5317dbf000d157');
INSERT INTO "meta" VALUES('server',x'18bb69e749a37e3c1d4e5198716dcf592fb0556a80fa40e8f42401df769c55c0');
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
);
INSERT INTO "message" VALUES(1,'p61f84gv4hzv1e1z',2,0,'alice','','alice',x'c3c49d5b63d8629725fc780d158cd2db',4868056307226295499,5,'text/plain',x'68656c6c6f20616c6c',1795795264171,1,1,NULL,2,-4660354956006469289,9,NULL,NULL,0,0,0,0);
CREATE TABLE instream (
    device  BLOB    NOT NULL,
    inc     INTEGER NOT NULL,
    highest INTEGER NOT NULL,
    PRIMARY KEY (device, inc)
) WITHOUT ROWID;
INSERT INTO "instream" VALUES(x'c3c49d5b63d8629725fc780d158cd2db',4868056307226295499,5);
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
COMMIT;
