-- Say that a process ended in order.
UPDATE workers
SET heartbeat_at = now(), stopped_at = now(), running = 0, metrics = $2::text::json
WHERE worker_no = $1
