-- Wait until no other process migrates this database; others wait until this transaction ends.
SELECT pg_advisory_xact_lock($1)
