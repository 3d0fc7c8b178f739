-- Write the events of submissions ($1 jobs, $2 sources, $3 data) that were answered with open jobs. A submission waits
-- for no row: where a job's is locked, its events are kept, and numbered later (`write_late_events`).
WITH answered AS MATERIALIZED (
    SELECT a.*, row_number() OVER (PARTITION BY a.job_no ORDER BY a.place) AS nth
    FROM unnest($1::bigint[], $2::text[], $3::text[]) WITH ORDINALITY AS a (job_no, source, event, place)
), free_jobs AS MATERIALIZED (
    SELECT j.job_no
    FROM jobs AS j
    WHERE j.job_no = ANY ($1::bigint[]) AND j.finished_at IS NULL
    ORDER BY j.job_no
    FOR NO KEY UPDATE SKIP LOCKED
), numbered AS (
    UPDATE jobs AS j
    SET last_event_no = j.last_event_no + n.events
    FROM (
        SELECT a.job_no, count(*)::int AS events
        FROM answered AS a
        JOIN free_jobs AS f USING (job_no)
        GROUP BY a.job_no
    ) AS n
    WHERE j.job_no = n.job_no
    RETURNING j.job_no, j.last_event_no - n.events AS before
), kept AS (
    INSERT INTO late_events (job_no, type, source, data)
    SELECT a.job_no, 'submitted', a.source, a.event::json
    FROM answered AS a
    JOIN jobs AS j USING (job_no)
    WHERE j.finished_at IS NULL AND NOT EXISTS (SELECT FROM free_jobs AS f WHERE f.job_no = a.job_no)
    ORDER BY a.place
)
SELECT write_events(
    array_agg(a.job_no),
    array_agg(a.before + a.nth),
    array_agg('submitted'::text),
    array_agg(a.source),
    array_agg(a.event::json)
)
FROM (SELECT a.*, n.before FROM answered AS a JOIN numbered AS n USING (job_no) ORDER BY a.place) AS a
