-- List what has been due for at least $1 seconds: queued jobs and ready batches, longest first.
SELECT owed.job_no, owed.batch_no, owed.seconds
FROM (
    (
        SELECT j.job_no, NULL::int AS batch_no, extract(EPOCH FROM now() - j.queued_at)::float8 AS seconds
        FROM jobs AS j
        WHERE j.status = 'queued' AND j.queued_at < now() - $1::float8 * interval '1 second'
        ORDER BY j.turn, j.job_no
        LIMIT $2
    )
    UNION ALL
    (
        SELECT r.job_no, r.batch_no, extract(EPOCH FROM now() - greatest(r.queued_at, r.not_before))::float8
        FROM ready AS r
        WHERE greatest(r.queued_at, r.not_before) < now() - $1::float8 * interval '1 second'
        ORDER BY r.turn, r.job_no, r.batch_no
        LIMIT $2
    )
) AS owed
ORDER BY owed.seconds DESC, owed.job_no, owed.batch_no
LIMIT $2
