-- Record that a process ended in order. If its earlier snapshot is in the sums of stopped processes, $3 stays in its
-- place.
UPDATE workers
SET
    heartbeat_at = now(), stopped_at = now(), running = 0,
    metrics = CASE WHEN metrics::text = $3 THEN metrics ELSE $2::text::json END
WHERE worker_no = $1
