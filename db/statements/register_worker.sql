-- Enter a process and give it its number.
INSERT INTO workers (id, role, pid, host)
VALUES ($1, $2, $3, $4)
RETURNING worker_no
