-- Lock those of the items $2 that are left until the transaction ends, but for those that another request has.
SELECT i.number
FROM bulk_items AS i
WHERE i.bulk_no = $1 AND i.number = ANY ($2::bigint[]) AND i.outcome IS NULL
ORDER BY i.number
FOR UPDATE SKIP LOCKED
