-- A sum over each row beside the groups, see sums.rs. A host of schema 3 writes none; where
-- it changes a row that has one, the trigger takes the sum away. By its session's name: a row
-- that anybody else has changed keeps its sum, which then does not hold.
ALTER TABLE casts ADD COLUMN sum BIGINT;
ALTER TABLE timers ADD COLUMN sum BIGINT;
ALTER TABLE outbox ADD COLUMN sum BIGINT;
ALTER TABLE answers ADD COLUMN sum BIGINT;
ALTER TABLE dead_letters ADD COLUMN sum BIGINT;
ALTER TABLE quarantine ADD COLUMN sum BIGINT;
ALTER TABLE kv ADD COLUMN sum BIGINT;
CREATE FUNCTION host_forget_sum() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.sum := NULL;
    RETURN NEW;
END
$$;
CREATE TRIGGER forget_sum BEFORE UPDATE ON timers FOR EACH ROW
WHEN (current_setting('application_name') LIKE 'host writer %'
    AND NEW.sum = OLD.sum AND NEW IS DISTINCT FROM OLD) EXECUTE FUNCTION host_forget_sum();
CREATE TRIGGER forget_sum BEFORE UPDATE ON quarantine FOR EACH ROW
WHEN (current_setting('application_name') LIKE 'host writer %'
    AND NEW.sum = OLD.sum AND NEW IS DISTINCT FROM OLD) EXECUTE FUNCTION host_forget_sum();
CREATE TRIGGER forget_sum BEFORE UPDATE ON kv FOR EACH ROW
WHEN (current_setting('application_name') LIKE 'host writer %'
    AND NEW.sum = OLD.sum AND NEW IS DISTINCT FROM OLD) EXECUTE FUNCTION host_forget_sum();
