-- Find the staged rows that exist, including this transaction's own, update those that differ, in the order of their
-- keys, and count by batch. Rows of a newer import stay. In contested record sets ($1) equal rows get this generation,
-- and nothing else changes. Rows of another batch of the same import stay: their key occurs twice and is returned as a
-- duplicate. If the update had to wait, it decides by the row's new version: an equal row that an older import changed
-- meanwhile is updated, and rows of a newer import stay, so that fewer rows are updated than wanted.
WITH found AS MATERIALIZED (
    SELECT
        s.record_set_no, s.record_key, s.job_no, s.batch_no, s.generation,
        CASE WHEN r.generation <= s.generation AND r.payload::text <> s.payload THEN s.payload END AS changed_payload,
        CASE
            WHEN r.generation < s.generation AND r.record_set_no = ANY ($1::int[]) THEN s.payload
        END AS claimed_payload,
        r.generation > s.generation AND r.payload::text <> s.payload AS is_superseded,
        r.job_no = s.job_no AND r.batch_no <> s.batch_no AS is_duplicate
    FROM (SELECT * FROM pg_temp.staged_records ORDER BY record_set_no, record_key) AS s
    JOIN imported_records AS r ON r.record_set_no = s.record_set_no AND r.record_key = s.record_key
), wanted AS (
    SELECT f.*, coalesce(f.changed_payload, f.claimed_payload) AS payload, f.changed_payload IS NOT NULL AS is_changed
    FROM found AS f
    WHERE f.changed_payload IS NOT NULL OR f.claimed_payload IS NOT NULL
), written AS (
    UPDATE imported_records AS r
    SET payload = CASE WHEN w.is_changed OR r.payload::text <> w.payload THEN w.payload::json ELSE r.payload END,
        job_no = CASE WHEN w.is_changed OR r.payload::text <> w.payload THEN w.job_no ELSE r.job_no END,
        batch_no = CASE WHEN w.is_changed OR r.payload::text <> w.payload THEN w.batch_no ELSE r.batch_no END,
        updated_at = CASE WHEN w.is_changed OR r.payload::text <> w.payload THEN now() ELSE r.updated_at END,
        generation = w.generation
    FROM wanted AS w
    WHERE r.record_set_no = w.record_set_no AND r.record_key = w.record_key AND r.generation <= w.generation
        AND NOT (r.job_no = w.job_no AND r.batch_no <> w.batch_no)
    RETURNING w.job_no, w.batch_no, r.job_no = w.job_no AND r.batch_no = w.batch_no AS is_updated
)
SELECT
    f.job_no, f.batch_no, NULL AS record_key, count(*)::int AS known,
    (count(*) FILTER (WHERE f.changed_payload IS NOT NULL OR f.claimed_payload IS NOT NULL))::int AS wanted,
    (count(*) FILTER (WHERE f.is_superseded))::int AS superseded, 0 AS written, 0 AS updated
FROM found AS f
GROUP BY f.job_no, f.batch_no
UNION ALL
SELECT w.job_no, w.batch_no, NULL, 0, 0, 0, count(*)::int, (count(*) FILTER (WHERE w.is_updated))::int
FROM written AS w
GROUP BY w.job_no, w.batch_no
UNION ALL
SELECT f.job_no, f.batch_no, f.record_key, 0, 0, 0, 0, 0
FROM found AS f
WHERE f.is_duplicate
