-- Count the open jobs that were accepted under an identity that isn't configured any more, and return the first ids.
SELECT count(*) OVER ()::int AS jobs, j.id
FROM jobs AS j
WHERE j.finished_at IS NULL AND NOT coalesce(j.identity_nos <@ current_identities(), false)
ORDER BY j.job_no
LIMIT 20
