-- Lock up to $2 processes that ended in order, or were silent for $1 seconds, and aren't in the sums of stopped
-- processes yet ($3 replaces a snapshot that is).
SELECT worker_no, metrics
FROM workers
WHERE worker_no > 0 AND metrics::text <> $3
    AND (stopped_at IS NOT NULL OR heartbeat_at < now() - $1::float8 * interval '1 second')
ORDER BY worker_no
LIMIT $2
FOR NO KEY UPDATE SKIP LOCKED
