-- Reopen locked waves ($2) that have ended.
UPDATE waves AS w
SET status = 'pending', finished_at = NULL
WHERE w.job_no = $1 AND w.wave_no = ANY ($2::int[]) AND w.status IN ('completed', 'partial', 'failed')
