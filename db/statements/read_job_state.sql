-- Return a job's kind, what its progress counts, and how far it is; no row where there is no such job.
SELECT j.id, j.kind, k.unit, j.status, j.planned, j.unknown
FROM jobs AS j
JOIN kinds AS k USING (kind)
WHERE j.job_no = $1
