-- Sample what has ended in all until now, by the counters of cells ($1) and of rows of imports ($2): one row a minute,
-- kept for a day.
WITH old AS (
    DELETE FROM throughput AS t
    WHERE t.minute < now() - interval '1 day'
)
INSERT INTO throughput (minute, completed, failed, imported)
SELECT
    date_trunc('minute', now()),
    coalesce(sum(c.value) FILTER (WHERE c.series = $1 AND c.status = 'completed'), 0)::bigint,
    coalesce(sum(c.value) FILTER (WHERE c.series = $1 AND c.status <> 'completed'), 0)::bigint,
    coalesce(sum(c.value) FILTER (WHERE c.series = $2), 0)::bigint
FROM (
    SELECT t.series, t.labels::json ->> 'status' AS status, t.value
    FROM tallies AS t
    WHERE t.series IN ($1, $2)
) AS c
ON CONFLICT ON CONSTRAINT throughput_key DO UPDATE
SET completed = excluded.completed, failed = excluded.failed, imported = excluded.imported
