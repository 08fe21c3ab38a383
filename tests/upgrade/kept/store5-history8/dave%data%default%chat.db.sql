PRAGMA user_version = 0;
BEGIN;
CREATE TABLE refinery_schema_history(
             version int4 PRIMARY KEY,
             name VARCHAR(255),
             applied_on VARCHAR(255),
             checksum VARCHAR(255));
INSERT INTO "refinery_schema_history" VALUES(1,'history','2026-11-27T16:01:14.196198971Z','454848487224083810');
INSERT INTO "refinery_schema_history" VALUES(2,'cursor','2026-11-27T16:01:14.196210478Z','13400203136811106824');
INSERT INTO "refinery_schema_history" VALUES(3,'hooks','2026-11-27T16:01:14.19621162Z','8402726985753410854');
INSERT INTO "refinery_schema_history" VALUES(4,'trace','2026-11-27T16:01:14.196212631Z','7182698466711745575');
INSERT INTO "refinery_schema_history" VALUES(5,'search','2026-11-27T16:01:14.196213462Z','8873462802583552649');
INSERT INTO "refinery_schema_history" VALUES(6,'void','2026-11-27T16:01:14.196214394Z','1686955862508504416');
INSERT INTO "refinery_schema_history" VALUES(7,'private','2026-11-27T16:01:14.196214784Z','17280473958097740690');
INSERT INTO "refinery_schema_history" VALUES(8,'file','2026-11-27T16:01:14.196215716Z','5998990784427351550');
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID;
INSERT INTO "meta" VALUES('cursor',x'00000000000000026d2e44a358b2be7d0000000000000017');
INSERT INTO "meta" VALUES('device',x'b637cfc5a2b01b3790ed07e4afc9ce82');
INSERT INTO "meta" VALUES('seen',x'00000000000000026d2e44a358b2be7d');
INSERT INTO "meta" VALUES('server',x'5cb6b5e1efc267483ff1815d34391dcf40b017257215956c9585c22556afdd9f');
CREATE TABLE stream (
    ord  INTEGER PRIMARY KEY AUTOINCREMENT,
    inc  INTEGER NOT NULL UNIQUE,
    last INTEGER NOT NULL
, peer BLOB);
INSERT INTO "stream" VALUES(1,8229091087838389899,5,NULL);
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
INSERT INTO "message" VALUES(1,'1q048k9vxkn26cty',1,1,'dave','alice','alice',x'b637cfc5a2b01b3790ed07e4afc9ce82',8229091087838389899,1,'text/plain',x'646176652068657265',1795795275180,1,0,NULL,2,7867301067421302397,8,'g7bawc2pfgkep48h',x'84d44f8b28cb09e44300dc7cc00524f7fe166a330d6677b9bc713dae2242e80d',1,0,0,0,1795795275184,1795795275184,1,1795795275190,NULL,NULL,0,0);
INSERT INTO "message" VALUES(2,'y6vf6k1sfts3p1fr',2,0,'alice','','alice',x'64d3f1055503bcf9e00820f4e882116c',-4276940110759455178,5,'text/plain',x'68656c6c6f20616c6c',1795795275202,1,1,NULL,2,7867301067421302397,9,NULL,NULL,0,0,0,0,NULL,NULL,0,1795795275222,NULL,NULL,0,0);
INSERT INTO "message" VALUES(3,'3pwwcsnja3548px0',1,1,'dave','bob','bob',x'b637cfc5a2b01b3790ed07e4afc9ce82',8229091087838389899,2,'text/plain',x'72656675736564',1795795275455,2,0,17,NULL,NULL,NULL,'fqxtvzpe8jyj9kp0',x'b25f63fd574c6a38344b8c34a4c7ed5762fe84b8b83fe3facbb835f718614e79',0,0,0,1,1795795275457,1795795275457,1,1795795275458,NULL,NULL,0,0);
INSERT INTO "message" VALUES(4,'kjzq4vvpqcmhhpx5',1,1,'dave','carol','carol',x'b637cfc5a2b01b3790ed07e4afc9ce82',8229091087838389899,3,'text/plain',x'776169747320666f72206361726f6c2034',1795795276279,1,0,NULL,2,7867301067421302397,21,'8qes0x8z6r3phevz',x'0efc7f147caf6fa1f3e234a3fba766bdaf2f54b33a4f9f10e2b5f7c6b54db0d7',0,0,0,0,1795795276280,1795795276280,1,1795795276281,NULL,NULL,0,0);
INSERT INTO "message" VALUES(5,'f2fhjyfszwcckhjy',1,0,'alice','dave','alice',x'64d3f1055503bcf9e00820f4e882116c',-4276940110759455178,15,'text/plain',x'73656e74207768696c65206974207761732061776179',1795795276316,1,1,NULL,2,7867301067421302397,23,NULL,NULL,0,0,0,0,NULL,NULL,0,1795795276317,NULL,NULL,0,0);
INSERT INTO "message" VALUES(6,'7ry289zx329dmjwq',1,1,'dave','alice','alice',x'b637cfc5a2b01b3790ed07e4afc9ce82',8229091087838389899,4,'text/plain',x'717565756564206279206461766520666f7220616c6963652031',1795795276462,0,0,NULL,NULL,NULL,NULL,'nh0qk3f7gefest8c',x'3e567cf868c5b1d6f43f2d284e33a86fca959eff822ec1edb7a017e86f127edb',0,0,0,0,NULL,NULL,0,NULL,NULL,NULL,0,0);
INSERT INTO "message" VALUES(7,'cp5zeg2s9j2a3xcz',1,1,'dave','alice','alice',x'b637cfc5a2b01b3790ed07e4afc9ce82',8229091087838389899,5,'text/plain',x'717565756564206279206461766520666f7220616c6963652032',1795795276480,0,0,NULL,NULL,NULL,NULL,'z0kd0mejy9a0dsv7',x'd1bab03e1e16890a72b1f075b195ef65cd723a09b8a18f1db1a092f20be1f010',0,0,0,0,NULL,NULL,0,NULL,NULL,NULL,0,0);
CREATE TABLE instream (
    device  BLOB    NOT NULL,
    inc     INTEGER NOT NULL,
    highest INTEGER NOT NULL,
    PRIMARY KEY (device, inc)
) WITHOUT ROWID;
INSERT INTO "instream" VALUES(x'64d3f1055503bcf9e00820f4e882116c',-4276940110759455178,15);
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
INSERT INTO "reach" VALUES('alice',1,1,1795795275198);
INSERT INTO "reach" VALUES('alice',1,8,1795795275245);
INSERT INTO "reach" VALUES('carol',1,9,1795795276283);
CREATE VIRTUAL TABLE search USING fts5 (
    text,
    content = '',
    contentless_delete = 1,
    tokenize = "unicode61 remove_diacritics 2"
);
DELETE FROM "search_data";
INSERT INTO "search_data" VALUES(1,x'071a');
INSERT INTO "search_data" VALUES(10,x'00000000ff00000101070700070101010101000001020101020200000103010103030000010401010404000001050101050500000106010106060000010701010707000001');
INSERT INTO "search_data" VALUES(137438953473,x'000000160530646176650102020104686572650102030409');
INSERT INTO "search_data" VALUES(274877906945,x'000000160430616c6c020203010568656c6c6f0202020408');
INSERT INTO "search_data" VALUES(412316860417,x'0000001008307265667573656403020204');
INSERT INTO "search_data" VALUES(549755813889,x'0000002602303404020501056361726f6c0402040103666f720402030105776169747304020204060a08');
INSERT INTO "search_data" VALUES(687194767361,x'0000002e05306177617905020601026974050204010473656e740502020103776173050205020468696c650502030409070908');
INSERT INTO "search_data" VALUES(824633720833,x'000000370230310602070105616c696365060206010262790602030104646176650602040103666f72060205010671756575656406020204060a070908');
INSERT INTO "search_data" VALUES(962072674305,x'000000370230320702070105616c696365070206010262790702030104646176650702040103666f72070205010671756575656407020204060a070908');
DELETE FROM "search_idx";
INSERT INTO "search_idx" VALUES(1,x'',2);
INSERT INTO "search_idx" VALUES(2,x'',2);
INSERT INTO "search_idx" VALUES(3,x'',2);
INSERT INTO "search_idx" VALUES(4,x'',2);
INSERT INTO "search_idx" VALUES(5,x'',2);
INSERT INTO "search_idx" VALUES(6,x'',2);
INSERT INTO "search_idx" VALUES(7,x'',2);
DELETE FROM "search_docsize";
INSERT INTO "search_docsize" VALUES(1,x'02',1);
INSERT INTO "search_docsize" VALUES(2,x'02',2);
INSERT INTO "search_docsize" VALUES(3,x'01',3);
INSERT INTO "search_docsize" VALUES(4,x'04',4);
INSERT INTO "search_docsize" VALUES(5,x'05',5);
INSERT INTO "search_docsize" VALUES(6,x'06',6);
INSERT INTO "search_docsize" VALUES(7,x'06',7);
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
