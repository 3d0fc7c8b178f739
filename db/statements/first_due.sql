-- Name one batch that is due and that nobody is claiming right now.
SELECT job_no, batch_no
FROM ready
WHERE not_before <= now()
ORDER BY provider, region, turn, job_no, batch_no
LIMIT 1
FOR NO KEY UPDATE SKIP LOCKED
