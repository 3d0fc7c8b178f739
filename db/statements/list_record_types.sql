-- List the record types of a tenant's ($1) dataset ($2), up to $3.
SELECT s.record_type
FROM record_sets AS s
WHERE s.tenant_no = $1 AND s.dataset = $2
ORDER BY s.record_type
LIMIT $3
