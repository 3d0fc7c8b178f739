-- Find the record sets of these record types ($3) of a tenant's dataset, and the columns of their keys. Locks nothing:
-- downloads use it, too, in read-only transactions.
SELECT s.record_type, s.record_set_no, s.key
FROM record_sets AS s
WHERE s.tenant_no = $1 AND s.dataset = $2 AND s.record_type = ANY ($3::text[])
