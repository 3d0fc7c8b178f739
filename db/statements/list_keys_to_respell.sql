-- List the keys of a set ($1) after the key $2, up to $4, that match one of the LIKE patterns ($3).
SELECT r.record_key
FROM imported_records AS r
WHERE r.record_set_no = $1::int AND r.record_key > $2::text AND r.record_key LIKE ANY ($3::text[])
ORDER BY r.record_key
LIMIT $4::int
