-- Enter a process and return its number; the same number where an earlier commit entered it that was lost on the way.
INSERT INTO workers (id, role, pid, host, version, configuration_no, config_file, not_served)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8::text::json)
ON CONFLICT ON CONSTRAINT unique_worker_id DO UPDATE SET heartbeat_at = now()
RETURNING worker_no
