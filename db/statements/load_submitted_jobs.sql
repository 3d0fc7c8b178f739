-- Read jobs as a submission that matched them shows them.
SELECT j.job_no, j.id, j.kind, j.status, j.created_at, j.spec_hash, s.submitted, s.spec
FROM jobs AS j
JOIN specs AS s USING (job_no)
WHERE j.job_no = ANY ($1::bigint[])
