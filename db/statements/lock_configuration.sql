-- Wait until nobody else applies a configuration and no submission is being stored; others wait until this transaction ends.
SELECT pg_advisory_xact_lock($1)
