-- Reset a process's measures, so that it reports again.
UPDATE workers AS w
SET metrics = '{}'
WHERE w.worker_no = $1
