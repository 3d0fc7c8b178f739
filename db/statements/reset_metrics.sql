-- Let a process report measures again, from nothing on.
UPDATE workers AS w
SET metrics = '{}'
WHERE w.worker_no = $1
