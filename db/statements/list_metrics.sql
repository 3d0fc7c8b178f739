-- List what each process measured, and the sums of those that stopped; not of those ($1) that are in these sums.
SELECT w.metrics
FROM workers AS w
WHERE w.metrics::text NOT IN ('{}', $1)
