-- Record that a process is alive, and the configuration that it serves; it is alive even if another process took it for
-- stopped. Its measures aren't stored if its earlier snapshot was added to the sums of stopped processes ($4 replaces
-- it): they would count twice.
UPDATE workers
SET
    heartbeat_at = now(), running = $2, stopped_at = NULL,
    metrics = CASE WHEN metrics::text = $4 THEN metrics ELSE $3::text::json END,
    version = $5,
    configuration_no = $6,
    config_file = $7,
    not_served = $8::text::json
WHERE worker_no = $1
RETURNING metrics::text = $4 AS is_folded
