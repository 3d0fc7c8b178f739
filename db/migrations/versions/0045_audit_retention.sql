-- Built while jobs are submitted; no release before this one needs it. It holds what was refused, and no accepted job.
CREATE INDEX CONCURRENTLY submissions_without_job ON submissions (submitted_at) WHERE job_no IS NULL;
