-- Return a job's kind, the unit of its progress, and its progress; no row for an unknown job.
SELECT j.id, j.kind, k.unit, j.status, j.planned, j.unknown
FROM jobs AS j
JOIN kinds AS k USING (kind)
WHERE j.job_no = $1
