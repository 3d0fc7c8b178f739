-- A job finishes once, whoever writes: when it ended stays, until a retry lets it run again, and so does its one event.

CREATE FUNCTION refuse_second_finish() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'job % has ended already', OLD.id
        USING ERRCODE = 'check_violation', CONSTRAINT = 'job_finishes_once';
END
$$;

CREATE TRIGGER job_finishes_once BEFORE UPDATE ON jobs
FOR EACH ROW WHEN (OLD.finished_at <> NEW.finished_at) EXECUTE FUNCTION refuse_second_finish();

-- Checked as a set, since one statement ends thousands of jobs. A job has some events for each flush of its cells, so
-- the search goes backwards from the new event to the end before it, or to the retry that opened the job again.
CREATE FUNCTION refuse_second_finished_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT
        FROM inserted AS i
        CROSS JOIN LATERAL (
            SELECT e.type
            FROM events AS e
            WHERE e.job_no = i.job_no AND e.event_no < i.event_no AND e.type IN ('finished', 'retried')
            ORDER BY e.event_no DESC
            LIMIT 1
        ) AS before
        WHERE i.type = 'finished' AND before.type = 'finished'
    ) THEN
        RAISE EXCEPTION 'a second finished event of one end'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'job_finish_is_told_once';
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER job_finish_is_told_once AFTER INSERT ON events
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION refuse_second_finished_event();
