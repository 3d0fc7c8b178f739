-- Try to take the advisory locks of submissions for this transaction, without waiting; tell which were free, and the
-- transaction's time.
SELECT
    ARRAY(SELECT i.key FROM unnest($1::bigint[]) AS i (key) WHERE pg_try_advisory_xact_lock(i.key)) AS free,
    now() AS locked_at
