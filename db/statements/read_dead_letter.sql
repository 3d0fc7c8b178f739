-- Return which cell a tenant's ($1) dead letter is of, and whether it wasn't retried since.
SELECT d.job_no, d.region_no, d.model_no, d.question_no, d.replayed_at IS NULL AS is_open
FROM dead_letters AS d
WHERE d.tenant_no = $1 AND d.dead_letter_no = $2
