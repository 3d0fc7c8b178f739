-- Return what a job is and how far it is; no row where there is no such job.
SELECT j.id, j.kind, j.status, j.planned, j.unknown
FROM jobs AS j
WHERE j.job_no = $1
