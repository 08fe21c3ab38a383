-- Streams to a peer of private sessions: its device's id and its key, 48 bytes. Those to the server have none.
ALTER TABLE stream ADD COLUMN peer BLOB;
CREATE INDEX stream_peer ON stream (peer, ord) WHERE peer IS NOT NULL;
-- An own private text was read by the peer's user.
ALTER TABLE message ADD COLUMN peer_read INTEGER NOT NULL DEFAULT 0;
