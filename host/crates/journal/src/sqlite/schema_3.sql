-- A sum over the store's own row, with the epoch of the owner that wrote it: an owner
-- of an older schema writes none, and raises the epoch.
--
-- exact says that a group's row names its first and its last record; an older host
-- named the first and the last entry of the commit.
ALTER TABLE store ADD COLUMN sum INTEGER;
ALTER TABLE store ADD COLUMN summed_epoch INTEGER;
ALTER TABLE groups ADD COLUMN exact INTEGER NOT NULL DEFAULT 0;
