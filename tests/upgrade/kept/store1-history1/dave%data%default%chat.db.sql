PRAGMA user_version = 0;
BEGIN;
CREATE TABLE refinery_schema_history(
             version int4 PRIMARY KEY,
             name VARCHAR(255),
             applied_on VARCHAR(255),
             checksum VARCHAR(255));
INSERT INTO "refinery_schema_history" VALUES(1,'history','2026-11-27T16:00:58.299857782Z','454848487224083810');
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID;
INSERT INTO "meta" VALUES('cursor',x'00000000000000021472e26b8ec7bc630000000000000012');
INSERT INTO "meta" VALUES('device',x'627ce01f7e4904893e4c5e239cb708c4');
INSERT INTO "meta" VALUES('seen',x'00000000000000021472e26b8ec7bc63');
INSERT INTO "meta" VALUES('server',x'c749ed0da382f3468843ebae9ce6e9c0100510367941607b26542c922a55e529');
CREATE TABLE stream (
    ord  INTEGER PRIMARY KEY AUTOINCREMENT,
    inc  INTEGER NOT NULL UNIQUE,
    last INTEGER NOT NULL
);
INSERT INTO "stream" VALUES(1,2876290878472064289,5);
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
INSERT INTO "message" VALUES(1,'vqjfe6dyvc1pjjth',1,1,'dave','alice','alice',x'627ce01f7e4904893e4c5e239cb708c4',2876290878472064289,1,'text/plain',x'646176652068657265',1795795259216,1,0,NULL,2,1473488979688406115,8,'7tay16xd3j3yjb2e',x'84d44f8b28cb09e44300dc7cc00524f7fe166a330d6677b9bc713dae2242e80d',1,0,0,0);
INSERT INTO "message" VALUES(2,'y5vv27k2t96cczbc',2,0,'alice','','alice',x'e5c062c6369b9e750ab8e8090aa0e215',6912795720738323981,5,'text/plain',x'68656c6c6f20616c6c',1795795259230,1,1,NULL,2,1473488979688406115,9,NULL,NULL,0,0,0,0);
INSERT INTO "message" VALUES(3,'ehqnp64fttafrpg9',1,1,'dave','bob','bob',x'627ce01f7e4904893e4c5e239cb708c4',2876290878472064289,2,'text/plain',x'72656675736564',1795795259290,2,0,17,NULL,NULL,NULL,'t8ndfvv6j2amb7x4',x'b25f63fd574c6a38344b8c34a4c7ed5762fe84b8b83fe3facbb835f718614e79',0,0,0,1);
INSERT INTO "message" VALUES(4,'xdavadhh52nvx1xb',1,1,'dave','carol','carol',x'627ce01f7e4904893e4c5e239cb708c4',2876290878472064289,3,'text/plain',x'776169747320666f72206361726f6c2034',1795795259341,1,0,NULL,2,1473488979688406115,16,'67rpmjttk9qf43ma',x'0efc7f147caf6fa1f3e234a3fba766bdaf2f54b33a4f9f10e2b5f7c6b54db0d7',0,0,0,0);
INSERT INTO "message" VALUES(5,'pzh7mymjj0qm989w',1,0,'alice','dave','alice',x'e5c062c6369b9e750ab8e8090aa0e215',6912795720738323981,10,'text/plain',x'73656e74207768696c65206974207761732061776179',1795795259391,1,1,NULL,2,1473488979688406115,18,NULL,NULL,0,0,0,0);
INSERT INTO "message" VALUES(6,'0v827ad9s1q8yh0m',1,1,'dave','alice','alice',x'627ce01f7e4904893e4c5e239cb708c4',2876290878472064289,4,'text/plain',x'717565756564206279206461766520666f7220616c6963652031',1795795259611,0,0,NULL,NULL,NULL,NULL,'vf70rjmvw6evx1hp',x'3e567cf868c5b1d6f43f2d284e33a86fca959eff822ec1edb7a017e86f127edb',0,0,0,0);
INSERT INTO "message" VALUES(7,'v6we9frcqp7zfy5w',1,1,'dave','alice','alice',x'627ce01f7e4904893e4c5e239cb708c4',2876290878472064289,5,'text/plain',x'717565756564206279206461766520666f7220616c6963652032',1795795259630,0,0,NULL,NULL,NULL,NULL,'p8rj2b5j0kpt5y2m',x'd1bab03e1e16890a72b1f075b195ef65cd723a09b8a18f1db1a092f20be1f010',0,0,0,0);
CREATE TABLE instream (
    device  BLOB    NOT NULL,
    inc     INTEGER NOT NULL,
    highest INTEGER NOT NULL,
    PRIMARY KEY (device, inc)
) WITHOUT ROWID;
INSERT INTO "instream" VALUES(x'e5c062c6369b9e750ab8e8090aa0e215',6912795720738323981,10);
CREATE TABLE conversation (
    peer   TEXT PRIMARY KEY,
    last   INTEGER NOT NULL,
    unread INTEGER NOT NULL DEFAULT 0,
    sent_n INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
INSERT INTO "conversation" VALUES('alice',7,2,8);
INSERT INTO "conversation" VALUES('bob',3,0,0);
INSERT INTO "conversation" VALUES('carol',4,0,16);
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
INSERT INTO "receipt" VALUES('alice',18,0);
INSERT INTO "receipt" VALUES('carol',1,0);
DELETE FROM sqlite_sequence;
INSERT INTO "sqlite_sequence" VALUES('stream',5);
INSERT INTO "sqlite_sequence" VALUES('message',7);
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
