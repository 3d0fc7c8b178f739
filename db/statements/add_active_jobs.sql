-- Let these jobs ($1) count among the active jobs of these keys ($2), and of no others.
INSERT INTO active_jobs (job_no, key_no)
SELECT j.job_no, j.key_no
FROM unnest($1::bigint[], $2::bigint[]) AS j (job_no, key_no)
ON CONFLICT ON CONSTRAINT active_jobs_key DO UPDATE SET key_no = excluded.key_no
