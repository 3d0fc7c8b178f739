-- Count the failures of a wave ($2) of an import ($1) by the current batches: the number of failed batches, their
-- record types (up to $3, those with most failures first), the most frequent code, and the number of later waves.
WITH failed_batches AS MATERIALIZED (
    SELECT r.id AS record_type, i.error_code
    FROM waves AS w
    JOIN batches AS b ON b.job_no = w.job_no
        AND b.batch_no >= w.first_batch_no
        AND b.batch_no < w.first_batch_no + w.total_batches
    JOIN import_batches AS i ON i.job_no = b.job_no AND i.batch_no = b.batch_no
    JOIN record_types AS r ON r.job_no = i.job_no AND r.record_type_no = i.record_type_no
    WHERE w.job_no = $1 AND w.wave_no = $2 AND b.status = 'failed'
), hit_types AS (
    SELECT f.record_type, count(*) AS batches
    FROM failed_batches AS f
    GROUP BY f.record_type
), common_code AS (
    SELECT f.error_code, count(*)::int AS batches
    FROM failed_batches AS f
    GROUP BY f.error_code
    ORDER BY batches DESC, f.error_code
    LIMIT 1
)
SELECT
    w.failed_batches, w.total_batches,
    (SELECT count(*)::int FROM waves AS v WHERE v.job_no = w.job_no AND v.wave_no > w.wave_no) AS later_waves,
    (SELECT count(*)::int FROM hit_types) AS record_type_count,
    ARRAY(
        SELECT h.record_type FROM hit_types AS h ORDER BY h.batches DESC, h.record_type LIMIT $3::int
    ) AS record_types,
    c.error_code, c.batches AS error_batches
FROM waves AS w
CROSS JOIN common_code AS c
WHERE w.job_no = $1 AND w.wave_no = $2
