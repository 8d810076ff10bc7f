-- Answers under idempotency keys, the outbox, what a dead letter was, snapshots in
-- pieces, and the order in which a look through the due timers goes on.
--
-- first_piece is where the first piece of a snapshot stands that is in pieces: those
-- whose first_pos no snapshot has belong to nothing.
--
-- answers_by_time is what they are forgotten by; timers_in_order takes the place of
-- timers_by_due, which a host of schema 1 does without.
CREATE TABLE answers (
    actor       TEXT    NOT NULL,
    event       TEXT    NOT NULL,
    principal   TEXT    NOT NULL,
    key         TEXT    NOT NULL,
    shard       INTEGER NOT NULL DEFAULT 0,
    digest      BLOB    NOT NULL,
    reply       BLOB    NOT NULL,
    seq         INTEGER NOT NULL,
    time_ms     INTEGER NOT NULL,
    PRIMARY KEY (actor, event, principal, key)
);
CREATE INDEX answers_by_time ON answers (time_ms);
CREATE TABLE outbox (
    position    INTEGER NOT NULL,
    idx         INTEGER NOT NULL,
    shard       INTEGER NOT NULL DEFAULT 0,
    actor       TEXT    NOT NULL,
    version     TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    url         TEXT    NOT NULL,
    attempts    INTEGER NOT NULL,
    due_ms      INTEGER NOT NULL,
    error       TEXT    NOT NULL,
    body        BLOB    NOT NULL,
    PRIMARY KEY (position, idx)
);
CREATE INDEX outbox_by_due ON outbox (due_ms, position, idx);
ALTER TABLE dead_letters ADD COLUMN origin TEXT NOT NULL DEFAULT '{}';
DROP INDEX timers_by_due;
CREATE INDEX timers_in_order ON timers (due_ms, actor, name);
CREATE TABLE snapshot_pieces (
    first_pos   INTEGER NOT NULL,
    idx         INTEGER NOT NULL,
    shard       INTEGER NOT NULL DEFAULT 0,
    body        BLOB    NOT NULL,
    PRIMARY KEY (first_pos, idx)
);
ALTER TABLE snapshots ADD COLUMN first_piece INTEGER;
CREATE INDEX snapshots_by_piece ON snapshots (first_piece) WHERE first_piece IS NOT NULL;
