-- Drain the worker with the id $1, or resume it ($2), unless it has ended or was silent for $3 seconds. Safe to
-- repeat.
UPDATE workers AS w
SET is_drained = $2
WHERE w.id = $1 AND w.role = 'worker' AND w.stopped_at IS NULL
    AND w.heartbeat_at > now() - $3::float8 * interval '1 second'
RETURNING w.worker_no
