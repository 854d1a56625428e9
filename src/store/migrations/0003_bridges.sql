-- Who was called on the other side of a bridged call, and what was measured there.
ALTER TABLE calls ADD COLUMN bridge TEXT;
