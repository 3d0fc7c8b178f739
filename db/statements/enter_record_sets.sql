-- Enter where the rows of these record types ($3) of a tenant's dataset lie, where nobody has.
INSERT INTO record_sets (tenant_no, dataset, record_type)
SELECT $1::int, $2::text, r.record_type
FROM unnest($3::text[]) AS r (record_type)
ORDER BY r.record_type
ON CONFLICT ON CONSTRAINT unique_record_set DO NOTHING
