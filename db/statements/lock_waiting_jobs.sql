-- Lock those of a tenant's ($1) jobs $2 that wait to be planned, against other actions ($3, as lock_job_controls does)
-- and against their coordination, until the transaction ends. Those that somebody has locked are passed over. From here
-- on the transaction waits at most $4 (a lock_timeout) for a lock.
SELECT j.job_no, set_config('lock_timeout', $4, true)
FROM jobs AS j
WHERE j.tenant_no = $1 AND j.job_no = ANY ($2::bigint[]) AND j.status = 'queued'
    AND pg_try_advisory_xact_lock($3::int, hashint8(j.job_no))
ORDER BY j.job_no
FOR NO KEY UPDATE SKIP LOCKED
