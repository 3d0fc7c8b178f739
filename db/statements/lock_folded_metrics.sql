-- Lock the sums of stopped processes, which the worker $1 stands for, and return them.
SELECT w.metrics
FROM workers AS w
WHERE w.worker_no = $1
FOR NO KEY UPDATE
