-- Try to take the advisory locks of submissions for this transaction, without waiting; return which were free, whether
-- the configuration ($3 is its lock) is locked against changes, and the transaction's time. From here on the
-- transaction waits at most $2 (a lock_timeout) for a lock.
SELECT
    ARRAY(SELECT i.key FROM unnest($1::bigint[]) AS i (key) WHERE pg_try_advisory_xact_lock(i.key)) AS free,
    pg_try_advisory_xact_lock_shared($3::bigint) AS is_configuration_kept,
    now() AS locked_at,
    set_config('lock_timeout', $2, true)
