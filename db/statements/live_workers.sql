-- The workers that are alive, with the age of their last heartbeat.
SELECT
    id, pid, host, started_at, heartbeat_at, running,
    extract(EPOCH FROM now() - heartbeat_at)::float8 AS heartbeat_age_seconds
FROM workers
WHERE role = 'worker' AND stopped_at IS NULL AND heartbeat_at > now() - $1::float8 * interval '1 second'
ORDER BY worker_no
