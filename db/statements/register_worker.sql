-- Enter a process and return its number; the same number if it was entered before and the acknowledgement was lost.
INSERT INTO workers (id, role, pid, host, version, configuration_no, config_file, not_served)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8::text::json)
ON CONFLICT ON CONSTRAINT unique_worker_id DO UPDATE SET heartbeat_at = now()
RETURNING worker_no
