-- Wait until no other transaction applies a configuration or stores a submission; others wait until this transaction
-- ends.
SELECT pg_advisory_xact_lock($1)
