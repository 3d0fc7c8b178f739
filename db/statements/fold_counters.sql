-- Move the counters of processes $1 to those of $2, in one statement, so that a sum over all counts each exactly once.
WITH moved AS (
    DELETE FROM tallies AS t
    WHERE t.worker_no = ANY($1::int[])
    RETURNING t.series, t.labels, t.value
)
INSERT INTO tallies (worker_no, series, labels, value)
SELECT $2::int, m.series, m.labels, sum(m.value)
FROM moved AS m
GROUP BY m.series, m.labels
ORDER BY m.series, m.labels
ON CONFLICT ON CONSTRAINT unique_tally DO UPDATE SET value = tallies.value + excluded.value
