-- As SQLite's schema 2: answers under idempotency keys, the outbox, what a dead letter
-- was, snapshots in pieces, and the order in which a look through the due timers goes on.
--
-- An index takes no row above some 2,700 bytes, and a text has no zero character, but
-- keys may: so an answer is found by the hash of its key. The texts are for people.
CREATE TABLE answers (
    id          BYTEA   PRIMARY KEY CHECK (length(id) = 32),
    shard       INTEGER NOT NULL DEFAULT 0,
    actor       TEXT    COLLATE "C" NOT NULL,
    event       TEXT    NOT NULL,
    principal   TEXT    NOT NULL,
    key         TEXT    NOT NULL,
    digest      BYTEA   NOT NULL CHECK (length(digest) = 32),
    reply       BYTEA   NOT NULL,
    seq         BIGINT  NOT NULL,
    time_ms     BIGINT  NOT NULL
);
CREATE INDEX answers_by_time ON answers (time_ms);
CREATE TABLE outbox (
    position    BIGINT  NOT NULL,
    idx         INTEGER NOT NULL,
    shard       INTEGER NOT NULL DEFAULT 0,
    actor       TEXT    COLLATE "C" NOT NULL,
    version     TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    url         TEXT    NOT NULL,
    attempts    INTEGER NOT NULL,
    due_ms      BIGINT  NOT NULL,
    error       TEXT    NOT NULL,
    body        BYTEA   NOT NULL,
    PRIMARY KEY (position, idx)
);
CREATE INDEX outbox_by_due ON outbox (due_ms, position, idx);
ALTER TABLE dead_letters ADD COLUMN origin TEXT NOT NULL DEFAULT '{}';
DROP INDEX timers_by_due;
CREATE INDEX timers_in_order ON timers (due_ms, actor, name);
CREATE TABLE snapshot_pieces (
    first_pos   BIGINT  NOT NULL,
    idx         INTEGER NOT NULL,
    shard       INTEGER NOT NULL DEFAULT 0,
    body        BYTEA   NOT NULL,
    PRIMARY KEY (first_pos, idx)
);
ALTER TABLE snapshot_pieces ALTER COLUMN body SET STORAGE EXTERNAL;
ALTER TABLE snapshots ADD COLUMN first_piece BIGINT;
CREATE INDEX snapshots_by_piece ON snapshots (first_piece) WHERE first_piece IS NOT NULL;
