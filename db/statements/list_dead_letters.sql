-- List the tenant's open dead letters, newest first, with keys below $2. $3 bounds the rows. Those of cancelled jobs
-- are left out, since they are never retried.
SELECT
    d.dead_letter_no, j.id AS job_id, d.job_no, d.region_no, d.model_no, d.question_no,
    s.model_ids[d.model_no + 1] AS model_id,
    s.region_ids[d.region_no + 1] AS region,
    s.question_ids[d.question_no + 1] AS question_id,
    d.attempts, d.error_code, d.error_detail, d.died_at
FROM dead_letters AS d
JOIN jobs AS j USING (job_no)
JOIN specs AS s USING (job_no)
WHERE d.tenant_no = $1 AND d.replayed_at IS NULL AND j.status <> 'cancelled'
    AND ($2::bigint IS NULL OR d.dead_letter_no < $2)
ORDER BY d.dead_letter_no DESC
LIMIT $3
