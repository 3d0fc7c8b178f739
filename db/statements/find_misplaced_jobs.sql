-- Find the open jobs that were accepted anew and have waiting batches under a former identity: those that a worker held
-- meanwhile and has released. Locks nothing.
SELECT DISTINCT r.job_no
FROM jobs AS j
JOIN ready AS r USING (job_no)
WHERE j.finished_at IS NULL AND j.former_identity_nos IS NOT NULL AND NOT r.identity_no = ANY (j.identity_nos)
ORDER BY r.job_no
