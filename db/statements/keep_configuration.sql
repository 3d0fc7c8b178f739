-- Wait until no other transaction applies a configuration; until this one ends none does, and submissions go on.
SELECT pg_advisory_xact_lock_shared($1)
