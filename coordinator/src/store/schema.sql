-- The coordinator's state. Text columns that hold JSON hold the model's own form.
CREATE TABLE fleet (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    incarnation INTEGER NOT NULL
) STRICT;
INSERT INTO fleet (one, incarnation) VALUES (1, 1);

-- A removed host keeps its row, so that its generation never goes back; it has no key.
CREATE TABLE host (
    name TEXT PRIMARY KEY,
    key TEXT,
    enrolled_at TEXT NOT NULL,
    certificate_ends_at TEXT,
    last_seen_at TEXT,
    agent_version TEXT,
    address TEXT,
    inventory TEXT,
    status TEXT,
    generation INTEGER NOT NULL DEFAULT 0,
    desired TEXT NOT NULL,
    -- Whether an operator has asked anything of it since it enrolled. What nobody asked for is not sent.
    asked INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE token (
    secret_digest TEXT PRIMARY KEY,
    host TEXT NOT NULL,
    ends_at TEXT NOT NULL,
    -- The key that it was used with: the same may ask again, since an answer can be lost.
    used_by_key TEXT
) STRICT;

CREATE TABLE operator (
    name TEXT PRIMARY KEY,
    key TEXT NOT NULL,
    issued_at TEXT NOT NULL,
    ends_at TEXT NOT NULL,
    revoked INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE release (
    name TEXT NOT NULL,
    revision INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    created_by TEXT NOT NULL,
    -- What was asked and planned, or where an added image came from.
    origin TEXT NOT NULL,
    PRIMARY KEY (name, revision)
) STRICT;

CREATE TABLE build (
    name TEXT NOT NULL,
    revision INTEGER NOT NULL,
    variant TEXT NOT NULL,
    phase TEXT NOT NULL,
    lock TEXT,
    artifact TEXT,
    content_bytes INTEGER NOT NULL DEFAULT 0,
    stored_bytes INTEGER NOT NULL DEFAULT 0,
    failure TEXT,
    PRIMARY KEY (name, revision, variant),
    FOREIGN KEY (name, revision) REFERENCES release (name, revision)
) STRICT;

-- What a lock was built to, for whichever release asks again.
CREATE TABLE locked (
    lock TEXT PRIMARY KEY,
    artifact TEXT NOT NULL,
    content_bytes INTEGER NOT NULL,
    stored_bytes INTEGER NOT NULL
) STRICT;
