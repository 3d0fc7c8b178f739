-- Lock up to $2 processes that ended in order, or gave no sign of life for $1 seconds, and that aren't in the sums of the
-- stopped yet ($3 stands in place of a snapshot that is).
SELECT worker_no, metrics
FROM workers
WHERE worker_no > 0 AND metrics::text <> $3
    AND (stopped_at IS NOT NULL OR heartbeat_at < now() - $1::float8 * interval '1 second')
ORDER BY worker_no
LIMIT $2
FOR NO KEY UPDATE SKIP LOCKED
