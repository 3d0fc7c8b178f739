-- Delete the records of a set ($1) whose key will equal that of a newer record once keys $2 are renamed to $3; return
-- how many.
WITH rival_keys AS (
    SELECT n.spelled AS record_key, n.shared FROM unnest($2::text[], $3::text[]) AS n (spelled, shared)
    UNION
    SELECT n.shared, n.shared FROM unnest($3::text[]) AS n (shared)
), rivals AS (
    SELECT
        r.record_key,
        row_number() OVER (
            PARTITION BY k.shared
            ORDER BY r.generation DESC, r.updated_at DESC, r.job_no DESC, r.batch_no DESC, r.record_key
        ) AS place
    FROM rival_keys AS k
    JOIN imported_records AS r ON r.record_set_no = $1::int AND r.record_key = k.record_key
), deleted AS (
    DELETE FROM imported_records AS r
    USING rivals AS v
    WHERE r.record_set_no = $1 AND r.record_key = v.record_key AND v.place > 1
    RETURNING 1
)
SELECT count(*)::int FROM deleted
