-- Let a job ($1) count among the active jobs of no key.
DELETE FROM active_jobs WHERE job_no = $1
