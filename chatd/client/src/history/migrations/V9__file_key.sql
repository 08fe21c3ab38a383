-- The peer key that the other side of a transfer proved: with another one on the same device nothing goes on. None is known of older ones.
ALTER TABLE transfer ADD COLUMN key BLOB NOT NULL DEFAULT x'0000000000000000000000000000000000000000000000000000000000000000';
