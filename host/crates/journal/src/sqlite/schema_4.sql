-- A sum over each row beside the groups, see sums.rs. A host of schema 3 writes none: it
-- puts whole rows in place of others, and where it changes one, the sum leaves that out.
ALTER TABLE casts ADD COLUMN sum INTEGER;
ALTER TABLE timers ADD COLUMN sum INTEGER;
ALTER TABLE outbox ADD COLUMN sum INTEGER;
ALTER TABLE answers ADD COLUMN sum INTEGER;
ALTER TABLE dead_letters ADD COLUMN sum INTEGER;
ALTER TABLE quarantine ADD COLUMN sum INTEGER;
ALTER TABLE kv ADD COLUMN sum INTEGER;
