-- Try to take the advisory lock of an Idempotency-Key for this transaction, without waiting.
SELECT pg_try_advisory_xact_lock($1)
