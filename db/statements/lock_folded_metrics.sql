-- Lock the sums of stopped processes, stored with the worker $1, and return them.
SELECT w.metrics
FROM workers AS w
WHERE w.worker_no = $1
FOR NO KEY UPDATE
