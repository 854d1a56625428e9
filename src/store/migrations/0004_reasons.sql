-- Why a call ended, in words.
ALTER TABLE calls ADD COLUMN reason TEXT;
