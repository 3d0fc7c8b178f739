-- Count an action's items by their outcome, in one snapshot; of those that are left it is NULL.
SELECT i.outcome, count(*)::int AS items
FROM bulk_items AS i
WHERE i.bulk_no = $1
GROUP BY i.outcome
ORDER BY i.outcome
