-- Number and write events that were committed while their jobs' rows were locked, up to $1 of the oldest, and forget
-- those of jobs that have ended since, or are gone. Return how many were written. Locked jobs are left for later.
WITH oldest AS MATERIALIZED (
    SELECT l.*
    FROM late_events AS l
    ORDER BY l.late_event_no
    LIMIT $1
), free_jobs AS MATERIALIZED (
    SELECT j.job_no, j.finished_at IS NULL AS is_open
    FROM jobs AS j
    WHERE j.job_no IN (SELECT o.job_no FROM oldest AS o)
    ORDER BY j.job_no
    FOR NO KEY UPDATE SKIP LOCKED
), taken AS (
    DELETE FROM late_events AS l
    USING oldest AS o
    LEFT JOIN free_jobs AS f USING (job_no)
    WHERE l.late_event_no = o.late_event_no
        AND (f.job_no IS NOT NULL OR NOT EXISTS (SELECT FROM jobs AS j WHERE j.job_no = o.job_no))
    RETURNING l.*, coalesce(f.is_open, false) AS is_open
), late AS (
    SELECT t.*, row_number() OVER (PARTITION BY t.job_no ORDER BY t.late_event_no) AS nth
    FROM taken AS t
    WHERE t.is_open
), numbered AS (
    UPDATE jobs AS j
    SET last_event_no = j.last_event_no + n.events
    FROM (SELECT l.job_no, count(*)::int AS events FROM late AS l GROUP BY l.job_no) AS n
    WHERE j.job_no = n.job_no
    RETURNING j.job_no, j.last_event_no - n.events AS before
)
SELECT coalesce(write_events(
    array_agg(l.job_no),
    array_agg(l.before + l.nth),
    array_agg(l.type),
    array_agg(l.source),
    array_agg(l.data)
), 0)::int
FROM (SELECT l.*, n.before FROM late AS l JOIN numbered AS n USING (job_no) ORDER BY l.late_event_no) AS l
