-- List the live processes of a role ($2), with the age of their last heartbeat, and their configuration.
SELECT
    w.id, w.role, w.pid, w.host, w.version, w.started_at, w.heartbeat_at, w.running, w.is_drained,
    extract(EPOCH FROM now() - w.heartbeat_at)::float8 AS heartbeat_age_seconds,
    w.configuration_no, coalesce(w.config_file, 'none') AS config_file, w.not_served,
    coalesce(w.configuration_no = (SELECT max(c.configuration_no) FROM configurations AS c), false) AS is_current
FROM workers AS w
WHERE w.role = $2 AND w.stopped_at IS NULL AND w.heartbeat_at > now() - $1::float8 * interval '1 second'
ORDER BY w.worker_no
