-- Lock an item that is left until the transaction ends; no row if another request has it, or it isn't left.
SELECT i.number
FROM bulk_items AS i
WHERE i.bulk_no = $1 AND i.number = $2 AND i.outcome IS NULL
FOR UPDATE SKIP LOCKED
