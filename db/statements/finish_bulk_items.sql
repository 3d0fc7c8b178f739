-- Record the outcome ($3) of the items $2 that have none, and count them.
WITH finished AS (
    UPDATE bulk_items AS i
    SET outcome = $3
    WHERE i.bulk_no = $1 AND i.number = ANY ($2::bigint[]) AND i.outcome IS NULL
    RETURNING i.outcome
), counted AS (
    SELECT count(*) FILTER (WHERE f.outcome = 'done')::int AS done, count(*)::int AS items
    FROM finished AS f
)
UPDATE bulk_actions AS b
SET done = b.done + c.done, skipped = b.skipped + c.items - c.done
FROM counted AS c
WHERE b.bulk_no = $1 AND c.items > 0
