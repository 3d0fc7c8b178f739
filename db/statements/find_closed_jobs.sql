-- Return which of these jobs ($1) nobody has to wait for: they have ended, or are gone.
SELECT i.job_no
FROM unnest($1::bigint[]) AS i (job_no)
WHERE NOT EXISTS (SELECT FROM jobs AS j WHERE j.job_no = i.job_no AND j.finished_at IS NULL)
