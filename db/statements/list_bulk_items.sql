-- List the next $3 items of an action ($1) that are left, with keys above $2.
SELECT i.number
FROM bulk_items AS i
WHERE i.bulk_no = $1 AND i.number > $2 AND i.outcome IS NULL
ORDER BY i.number
LIMIT $3
