-- The conference room that a call was joined to.
ALTER TABLE calls ADD COLUMN room TEXT;
