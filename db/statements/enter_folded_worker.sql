-- Enter the row that sums up stopped processes, if it is missing. It never counts as alive: its heartbeat is
-- of 1970.
INSERT INTO workers (worker_no, id, role, pid, host, started_at, heartbeat_at)
OVERRIDING SYSTEM VALUE
VALUES (0, 'stopped', 'worker', 0, '', 'epoch', 'epoch')
ON CONFLICT ON CONSTRAINT workers_key DO NOTHING
