-- Take the lock of controls on the tenant's job for this transaction, so that one person's action follows another's; no
-- row if there is no such job. From here on the transaction waits for no lock longer than $3 (as lock_timeout takes it).
-- The lock has two numbers, which keeps it apart from the locks of submissions, that have one.
SELECT
    j.job_no,
    set_config('lock_timeout', $3, true),
    pg_advisory_xact_lock($4::int, hashint8(j.job_no))
FROM jobs AS j
WHERE j.tenant_no = $1 AND j.job_no = $2
