-- Take the advisory lock of the tenant's job for this transaction, so that people's actions on a job are serialized; no
-- row for an unknown job. From here on the transaction waits at most $3 (a lock_timeout) for a lock. The lock has two
-- numbers, so it differs from the locks of submissions, which have one.
SELECT
    j.job_no,
    set_config('lock_timeout', $3, true),
    pg_advisory_xact_lock($4::int, hashint8(j.job_no))
FROM jobs AS j
WHERE j.tenant_no = $1 AND j.job_no = $2
