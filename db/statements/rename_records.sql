-- Rename the keys ($2) of a set's ($1) records to new keys ($3), which no record has; return how many.
WITH renamed AS (
    UPDATE imported_records AS r
    SET record_key = n.shared
    FROM unnest($2::text[], $3::text[]) AS n (spelled, shared)
    WHERE r.record_set_no = $1::int AND r.record_key = n.spelled
    RETURNING 1
)
SELECT count(*)::int FROM renamed
