-- Enter a process and give it its number; the same one where it was entered by a commit that nobody heard of.
INSERT INTO workers (id, role, pid, host)
VALUES ($1, $2, $3, $4)
ON CONFLICT ON CONSTRAINT unique_worker_id DO UPDATE SET heartbeat_at = now()
RETURNING worker_no
