-- List what ended in each of the last $1 minutes that was sampled: the difference to the sample before, if any.
SELECT
    s.minute, (s.completed - s.completed_before)::int AS completed, (s.failed - s.failed_before)::int AS failed,
    (s.imported - s.imported_before)::int AS imported
FROM (
    SELECT
        t.*,
        lag(t.completed) OVER by_minute AS completed_before,
        lag(t.failed) OVER by_minute AS failed_before,
        lag(t.imported) OVER by_minute AS imported_before
    FROM throughput AS t
    WHERE t.minute > now() - ($1::int + 1) * interval '1 minute'
    WINDOW by_minute AS (ORDER BY t.minute)
) AS s
WHERE s.completed_before IS NOT NULL
ORDER BY s.minute
