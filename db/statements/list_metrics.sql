-- List the measures of each process, and the sums of stopped processes, without the processes ($1) in these sums.
SELECT w.metrics
FROM workers AS w
WHERE w.metrics::text NOT IN ('{}', $1)
