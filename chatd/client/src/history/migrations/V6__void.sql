-- Given up by its user: 1 until the server has recorded that, or said what came first. The place in the stream is owed until then,
-- also where the message itself is known to have failed.
ALTER TABLE message ADD COLUMN void INTEGER NOT NULL DEFAULT 0;
CREATE INDEX message_void ON message (inc, cseq) WHERE void = 1;
