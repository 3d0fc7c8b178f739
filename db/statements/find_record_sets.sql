-- Find where the rows of these record types ($3) of a tenant's dataset lie, and the columns of their keys. Nothing is locked:
-- downloads read with it too, in a transaction that is read only.
SELECT s.record_type, s.record_set_no, s.key
FROM record_sets AS s
WHERE s.tenant_no = $1 AND s.dataset = $2 AND s.record_type = ANY ($3::text[])
