-- Say that a process is alive; it is alive even if somebody thought that it had stopped.
UPDATE workers
SET heartbeat_at = now(), running = $2, metrics = $3::text::json, stopped_at = NULL
WHERE worker_no = $1
