-- Record that the triggers that waited for the coordination of the jobs $1 failed.
UPDATE triggers AS t
SET outcome = 'failed', finished_at = clock_timestamp(), worker_no = $2
WHERE t.job_no = ANY ($1::bigint[]) AND t.outcome IS NULL
RETURNING t.job_no, t.source
