-- Take or renew the lease of a leader-only background service ($1) for $3 seconds. It is free if no worker ever led
-- it, its lease ran out, or the worker ($2) leads it already. Passes over a locked row.
WITH free AS (
    SELECT l.duty
    FROM leaders AS l
    WHERE l.duty = $1 AND (l.worker_no = $2 OR l.lease_until < now())
    FOR NO KEY UPDATE SKIP LOCKED
), taken AS (
    UPDATE leaders AS l
    SET worker_no = $2,
        fence = l.fence + CASE WHEN l.worker_no = $2 THEN 0 ELSE 1 END,
        lease_until = now() + $3::float8 * interval '1 second',
        worked_at = now()
    FROM free AS f
    WHERE l.duty = f.duty
    RETURNING l.fence
), entered AS (
    INSERT INTO leaders (duty, worker_no, fence, lease_until, worked_at)
    SELECT $1, $2, 1, now() + $3::float8 * interval '1 second', now()
    WHERE NOT EXISTS (SELECT FROM leaders AS l WHERE l.duty = $1)
    ON CONFLICT ON CONSTRAINT unique_leader DO NOTHING
    RETURNING fence
)
SELECT t.fence FROM taken AS t
UNION ALL
SELECT e.fence FROM entered AS e
