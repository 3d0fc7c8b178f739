-- Return the tenant and the cell of a dead letter ($1), and whether the dead letter is still open.
SELECT d.tenant_no, d.job_no, d.region_no, d.model_no, d.question_no, d.replayed_at IS NULL AS is_open
FROM dead_letters AS d
WHERE d.dead_letter_no = $1
