-- Return the cell of a tenant's ($1) dead letter, and whether the dead letter is still open.
SELECT d.job_no, d.region_no, d.model_no, d.question_no, d.replayed_at IS NULL AS is_open
FROM dead_letters AS d
WHERE d.tenant_no = $1 AND d.dead_letter_no = $2
