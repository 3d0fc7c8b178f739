-- Wait until no other transaction applies a configuration or stores a submission; they wait until this transaction
-- ends.
SELECT pg_advisory_xact_lock($1)
