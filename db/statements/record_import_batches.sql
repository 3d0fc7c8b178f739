-- Lock batches of imports by fence and holder, and end them ($5: completed or failed) or make them due again (pending,
-- in $6 seconds). A batch that another holder took since is not returned: its rows are stale. This lock comes after the
-- rows are written and is held to the commit that follows.
WITH held AS MATERIALIZED (
    SELECT b.job_no, b.batch_no, i.status, i.due_in_seconds
    FROM unnest($1::bigint[], $2::int[], $3::int[], $4::bigint[], $5::text[], $6::float8[])
        AS i (job_no, batch_no, fence, holder, status, due_in_seconds)
    JOIN batches AS b USING (job_no, batch_no)
    WHERE b.fence = i.fence AND b.holder = i.holder
    ORDER BY b.job_no, b.batch_no
    FOR NO KEY UPDATE OF b
)
UPDATE batches AS b
SET status = h.status,
    open_cells = (h.status = 'pending')::int,
    attempts = b.attempts + 1,
    holder = NULL,
    lease_until = NULL,
    slots = 0,
    lost_leases = 0,
    not_before = CASE h.status WHEN 'pending' THEN now() + h.due_in_seconds * interval '1 second' END,
    finished_at = CASE WHEN h.status <> 'pending' THEN greatest(clock_timestamp(), b.started_at) END
FROM held AS h
WHERE b.job_no = h.job_no AND b.batch_no = h.batch_no
RETURNING b.job_no, b.batch_no, b.fence
