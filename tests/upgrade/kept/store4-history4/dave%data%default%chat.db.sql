PRAGMA user_version = 0;
BEGIN;
CREATE TABLE refinery_schema_history(
             version int4 PRIMARY KEY,
             name VARCHAR(255),
             applied_on VARCHAR(255),
             checksum VARCHAR(255));
INSERT INTO "refinery_schema_history" VALUES(1,'history','2026-11-27T16:55:22.057587636Z','454848487224083810');
INSERT INTO "refinery_schema_history" VALUES(2,'cursor','2026-11-27T16:55:22.05759649Z','13400203136811106824');
INSERT INTO "refinery_schema_history" VALUES(3,'hooks','2026-11-27T16:55:22.057597812Z','8402726985753410854');
INSERT INTO "refinery_schema_history" VALUES(4,'trace','2026-11-27T16:55:22.057598733Z','7182698466711745575');
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID;
INSERT INTO "meta" VALUES('cursor',x'0000000000000002fce1498fa2e18c720000000000000017');
INSERT INTO "meta" VALUES('device',x'342724ea4d39c190824ec733f99f2aa5');
INSERT INTO "meta" VALUES('seen',x'0000000000000002fce1498fa2e18c72');
INSERT INTO "meta" VALUES('server',x'718d7b56bd191af1f83735c9748b8fa691737ade014cc13237cf758a975b5ec3');
CREATE TABLE stream (
    ord  INTEGER PRIMARY KEY AUTOINCREMENT,
    inc  INTEGER NOT NULL UNIQUE,
    last INTEGER NOT NULL
);
INSERT INTO "stream" VALUES(1,-7140935488673617126,5);
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
, sent_first_ms INTEGER, sent_last_ms INTEGER, sends INTEGER NOT NULL DEFAULT 0, here_ms INTEGER, over_ms INTEGER, read_ms INTEGER);
INSERT INTO "message" VALUES(1,'g1ewckzs6t14rg0n',1,1,'dave','alice','alice',x'342724ea4d39c190824ec733f99f2aa5',-7140935488673617126,1,'text/plain',x'646176652068657265',1795798524004,1,0,NULL,2,-224817625129972622,8,'1we2d5cchgmw1ypj',x'84d44f8b28cb09e44300dc7cc00524f7fe166a330d6677b9bc713dae2242e80d',1,0,0,0,1795798524005,1795798524005,1,1795798524007,NULL,NULL);
INSERT INTO "message" VALUES(2,'a52tdamkt4bbgszy',2,0,'alice','','alice',x'fa9097031867a1e5ab3ca2296b545f2e',-4012784981376058974,5,'text/plain',x'68656c6c6f20616c6c',1795798524070,1,1,NULL,2,-224817625129972622,9,NULL,NULL,0,0,0,0,NULL,NULL,0,1795798524073,NULL,NULL);
INSERT INTO "message" VALUES(3,'n8m9k2wh3gfs5zhb',1,1,'dave','bob','bob',x'342724ea4d39c190824ec733f99f2aa5',-7140935488673617126,2,'text/plain',x'72656675736564',1795798524261,2,0,17,NULL,NULL,NULL,'wn96xcj1rn3n6480',x'b25f63fd574c6a38344b8c34a4c7ed5762fe84b8b83fe3facbb835f718614e79',0,0,0,1,1795798524265,1795798524265,1,1795798524267,NULL,NULL);
INSERT INTO "message" VALUES(4,'yqp84zw80pfyty1m',1,1,'dave','carol','carol',x'342724ea4d39c190824ec733f99f2aa5',-7140935488673617126,3,'text/plain',x'776169747320666f72206361726f6c2034',1795798525080,1,0,NULL,2,-224817625129972622,21,'66hahrcmnq7nqndf',x'0efc7f147caf6fa1f3e234a3fba766bdaf2f54b33a4f9f10e2b5f7c6b54db0d7',0,0,0,0,1795798525090,1795798525090,1,1795798525099,NULL,NULL);
INSERT INTO "message" VALUES(5,'jrsk50mswjnm1pgv',1,0,'alice','dave','alice',x'fa9097031867a1e5ab3ca2296b545f2e',-4012784981376058974,15,'text/plain',x'73656e74207768696c65206974207761732061776179',1795798525143,1,1,NULL,2,-224817625129972622,23,NULL,NULL,0,0,0,0,NULL,NULL,0,1795798525144,NULL,NULL);
INSERT INTO "message" VALUES(6,'ceaegac76kc0wnmb',1,1,'dave','alice','alice',x'342724ea4d39c190824ec733f99f2aa5',-7140935488673617126,4,'text/plain',x'717565756564206279206461766520666f7220616c6963652031',1795798525308,0,0,NULL,NULL,NULL,NULL,'9z4b80dyvf9vhga1',x'3e567cf868c5b1d6f43f2d284e33a86fca959eff822ec1edb7a017e86f127edb',0,0,0,0,NULL,NULL,0,NULL,NULL,NULL);
INSERT INTO "message" VALUES(7,'a243t0anmgcqrekc',1,1,'dave','alice','alice',x'342724ea4d39c190824ec733f99f2aa5',-7140935488673617126,5,'text/plain',x'717565756564206279206461766520666f7220616c6963652032',1795798525362,0,0,NULL,NULL,NULL,NULL,'p88wa25v1j2ajyc7',x'd1bab03e1e16890a72b1f075b195ef65cd723a09b8a18f1db1a092f20be1f010',0,0,0,0,NULL,NULL,0,NULL,NULL,NULL);
CREATE TABLE instream (
    device  BLOB    NOT NULL,
    inc     INTEGER NOT NULL,
    highest INTEGER NOT NULL,
    PRIMARY KEY (device, inc)
) WITHOUT ROWID;
INSERT INTO "instream" VALUES(x'fa9097031867a1e5ab3ca2296b545f2e',-4012784981376058974,15);
CREATE TABLE conversation (
    peer   TEXT PRIMARY KEY,
    last   INTEGER NOT NULL,
    unread INTEGER NOT NULL DEFAULT 0,
    sent_n INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
INSERT INTO "conversation" VALUES('alice',7,2,8);
INSERT INTO "conversation" VALUES('bob',3,0,0);
INSERT INTO "conversation" VALUES('carol',4,0,21);
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
INSERT INTO "receipt" VALUES('alice',8,0);
INSERT INTO "receipt" VALUES('carol',9,0);
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
INSERT INTO "reach" VALUES('alice',1,4,1795798524009);
INSERT INTO "reach" VALUES('alice',1,8,1795798524068);
INSERT INTO "reach" VALUES('carol',1,9,1795798525103);
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
CREATE INDEX letter_dead ON letter (dead, id);
COMMIT;
