-- Measure the batches that could be claimed, by provider and region; the $1 that became due first.
SELECT
    due.provider, due.region, count(*)::int AS batches,
    extract(EPOCH FROM now() - min(greatest(due.queued_at, due.not_before)))::float8 AS oldest_seconds
FROM (
    SELECT r.provider, r.region, r.queued_at, r.not_before
    FROM ready AS r
    WHERE r.not_before <= now()
    ORDER BY r.not_before
    LIMIT $1
) AS due
GROUP BY due.provider, due.region
