-- Enter the missing record sets of these record types ($3) of a tenant's dataset, with their keys ($4, JSON).
INSERT INTO record_sets (tenant_no, dataset, record_type, key, keys_by_value)
SELECT $1::int, $2::text, r.record_type, ARRAY(SELECT json_array_elements_text(r.key::json)), true
FROM unnest($3::text[], $4::text[]) AS r (record_type, key)
ORDER BY r.record_type
ON CONFLICT ON CONSTRAINT unique_record_set DO NOTHING
