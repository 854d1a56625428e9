-- Times are whole milliseconds since 1970-01-01 UTC; ids of calls are UUID version 7 in their
-- hyphenated lower-case spelling, so that their order as text is the order of their creation.

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
-- Which spill file was drained into this database last, and the number of its last record here.
INSERT INTO meta (name, value) VALUES ('spill_id', 0), ('spill_seq', 0);

CREATE TABLE calls (
    id          TEXT PRIMARY KEY,
    -- Which run of the switch made it: an open call of another run was cut by a crash.
    run_id      TEXT NOT NULL,
    direction   TEXT NOT NULL,
    from_number TEXT NOT NULL,
    to_number   TEXT NOT NULL,
    trunk       TEXT,
    agent       TEXT,
    state       TEXT NOT NULL,
    started_ms  INTEGER NOT NULL,
    answered_ms INTEGER,
    ended_ms    INTEGER,
    outcome     TEXT,
    variables   TEXT NOT NULL,
    media       TEXT,
    recording   TEXT,
    -- The last moment at which the switch wrote anything about the call.
    updated_ms  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX calls_open ON calls (run_id) WHERE ended_ms IS NULL;

CREATE TABLE turns (
    call_id     TEXT NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    seq         INTEGER NOT NULL,
    who         TEXT NOT NULL,
    text        TEXT NOT NULL,
    heard_text  TEXT,
    started_ms  INTEGER NOT NULL,
    latency     TEXT NOT NULL,
    interrupted INTEGER NOT NULL,
    PRIMARY KEY (call_id, seq)
) STRICT, WITHOUT ROWID;

-- AUTOINCREMENT: an id is never given twice, also after pruning, so a replay never skips one.
CREATE TABLE events (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    call_id TEXT,
    kind    TEXT NOT NULL,
    at_ms   INTEGER NOT NULL,
    data    TEXT NOT NULL
) STRICT;
CREATE INDEX events_call ON events (call_id, id);

CREATE TABLE idempotency_keys (
    key         TEXT PRIMARY KEY,
    body_digest BLOB NOT NULL,
    call_id     TEXT NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    created_ms  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_ms);
CREATE INDEX idempotency_keys_call ON idempotency_keys (call_id);

CREATE TABLE appointments (
    id         TEXT PRIMARY KEY,
    call_id    TEXT NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    date_time  TEXT NOT NULL,
    starts_ms  INTEGER NOT NULL,
    kind       TEXT NOT NULL,
    notes      TEXT NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX appointments_start ON appointments (starts_ms, id);
CREATE INDEX appointments_call ON appointments (call_id);

CREATE TABLE contacts (
    phone_key  TEXT PRIMARY KEY,
    contact_id TEXT NOT NULL,
    variables  TEXT NOT NULL,
    fetched_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE outbox (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    call_id         TEXT NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    kind            TEXT NOT NULL,
    sink            TEXT NOT NULL,
    payload         TEXT NOT NULL,
    -- What the row is, whoever writes it again: a second insert of one key changes nothing.
    idempotency_key TEXT NOT NULL UNIQUE,
    -- The row (by its key) that must have come to an end before this one is tried.
    depends_on      TEXT,
    -- 1: only when that row was delivered; 0: also when it is dead.
    needs_result    INTEGER NOT NULL,
    -- Rows that share either key are never in flight together.
    phone_key       TEXT,
    email_key       TEXT,
    state           TEXT NOT NULL,
    attempts        INTEGER NOT NULL,
    next_attempt_ms INTEGER NOT NULL,
    last_error      TEXT,
    result          TEXT,
    created_ms      INTEGER NOT NULL,
    updated_ms      INTEGER NOT NULL
) STRICT;
CREATE INDEX outbox_due ON outbox (next_attempt_ms, id) WHERE state = 'pending';
CREATE INDEX outbox_in_flight ON outbox (id) WHERE state = 'delivering';
CREATE INDEX outbox_dead ON outbox (id) WHERE state = 'dead';
CREATE INDEX outbox_call ON outbox (call_id);

-- Spilled records that no database would take: kept for a person to look at.
CREATE TABLE rejected (
    seq   INTEGER PRIMARY KEY,
    body  TEXT NOT NULL,
    error TEXT NOT NULL
) STRICT;
