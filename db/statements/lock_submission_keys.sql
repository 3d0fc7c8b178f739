-- Try to take the advisory locks of submissions for this transaction, without waiting; say which were free.
SELECT i.key, pg_try_advisory_xact_lock(i.key) AS is_free, now() AS locked_at
FROM unnest($1::bigint[]) AS i (key)
