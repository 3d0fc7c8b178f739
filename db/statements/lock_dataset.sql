-- Take the lock of the dataset that an import ($1) loads, until the end of this transaction: one transaction at a time
-- decides which of its imports may begin. $2 keeps these locks apart from others.
SELECT pg_advisory_xact_lock($2::int, hashtext(j.tenant_no || ' ' || (s.spec ->> 'dataset')))
FROM jobs AS j
JOIN specs AS s USING (job_no)
WHERE j.job_no = $1
