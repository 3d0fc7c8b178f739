-- Record an item's outcome ($3), unless it has one, and count it.
WITH finished AS (
    UPDATE bulk_items AS i
    SET outcome = $3
    WHERE i.bulk_no = $1 AND i.number = $2 AND i.outcome IS NULL
    RETURNING i.bulk_no, (i.outcome = 'done')::int AS is_done
)
UPDATE bulk_actions AS b
SET done = b.done + f.is_done, skipped = b.skipped + 1 - f.is_done
FROM finished AS f
WHERE b.bulk_no = f.bulk_no
