-- Try to become the only process that migrates this database, until this transaction ends.
SELECT pg_try_advisory_xact_lock($1)
