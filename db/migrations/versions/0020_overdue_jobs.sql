-- The time at which a job is overdue if it is still queued; NULL: never, or the release before this one stored it. It was
-- computed from the specs of the queue at each look, which are as large as their clients made them.
ALTER TABLE jobs ADD COLUMN overdue_at timestamptz;

-- Lock queued jobs whose queue timeout has passed, those first that are overdue for longest. Jobs that a worker is planning are
-- passed over. The index of 0021 is walked from its start, whatever the statistics say: a plan that was made while the queue was
-- empty would sort all of it.
CREATE FUNCTION lock_overdue_jobs(at_most int) RETURNS TABLE (job_no bigint, id text, waited_seconds float8)
LANGUAGE plpgsql SET enable_sort = off AS $$
BEGIN
    RETURN QUERY
        SELECT j.job_no, j.id, extract(EPOCH FROM now() - j.queued_at)::float8
        FROM jobs AS j
        WHERE j.status = 'queued' AND j.overdue_at < now()
        ORDER BY j.overdue_at
        LIMIT at_most
        FOR NO KEY UPDATE OF j SKIP LOCKED;
END
$$;
