-- Say that a process is alive; it is alive even if somebody thought that it had stopped. What it measured isn't stored where
-- its earlier snapshot is in the sums of the stopped ($4 stands in its place): it would count twice.
UPDATE workers
SET
    heartbeat_at = now(), running = $2, stopped_at = NULL,
    metrics = CASE WHEN metrics::text = $4 THEN metrics ELSE $3::text::json END
WHERE worker_no = $1
RETURNING metrics::text = $4 AS is_folded
