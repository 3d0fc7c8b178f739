-- List processes that gave no sign of life for $1 seconds and never said that they end, the newest $3, but for those
-- that were silent for $2 seconds.
SELECT
    w.id, w.role, w.pid, w.host, w.version, w.started_at, w.heartbeat_at,
    extract(EPOCH FROM now() - w.heartbeat_at)::float8 AS heartbeat_age_seconds
FROM workers AS w
WHERE w.worker_no > 0 AND w.stopped_at IS NULL
    AND w.heartbeat_at <= now() - $1::float8 * interval '1 second'
    AND w.heartbeat_at > now() - $2::float8 * interval '1 second'
ORDER BY w.heartbeat_at DESC, w.worker_no
LIMIT $3
