-- Record that the triggers that waited for a job's coordination failed.
UPDATE triggers AS t
SET outcome = 'failed', finished_at = clock_timestamp(), worker_no = $2
WHERE t.job_no = $1 AND t.outcome IS NULL
RETURNING t.source
