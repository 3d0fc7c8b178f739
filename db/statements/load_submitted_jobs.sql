-- Read the jobs that submissions matched, with the columns that a response shows.
SELECT j.job_no, j.id, j.kind, j.status, j.created_at, j.spec_hash, s.submitted, s.spec
FROM jobs AS j
JOIN specs AS s USING (job_no)
WHERE j.job_no = ANY ($1::bigint[])
