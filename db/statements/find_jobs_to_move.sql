-- Find the open jobs that were accepted under an identity that isn't configured now. Those from before there was a
-- configuration have none.
SELECT j.job_no
FROM jobs AS j
WHERE j.finished_at IS NULL AND NOT j.identity_nos <@ (SELECT current_identities())
ORDER BY j.job_no
