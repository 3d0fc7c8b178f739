-- Let a process report measures again, from zero.
UPDATE workers AS w
SET metrics = '{}'
WHERE w.worker_no = $1
