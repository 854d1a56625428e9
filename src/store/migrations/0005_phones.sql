-- Where users' phones are reached: a list each, as JSON.
CREATE TABLE phones (
    user TEXT PRIMARY KEY,
    bindings TEXT NOT NULL
) STRICT;
