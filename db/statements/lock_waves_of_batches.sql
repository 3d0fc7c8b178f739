-- Lock the waves of these batches, in their order.
SELECT w.wave_no
FROM waves AS w
WHERE w.job_no = $1
    AND w.wave_no IN (SELECT b.wave_no FROM batches AS b WHERE b.job_no = $1 AND b.batch_no = ANY ($2::int[]))
ORDER BY w.wave_no
FOR NO KEY UPDATE OF w
