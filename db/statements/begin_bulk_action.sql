-- Begin, or go on with, an action whose dry run named $2; keep its items for $5 more seconds. The actor ($6) and reason
-- ($7) of the first request are the operation's. No row if that dry run was another tenant's, of another action or
-- filter, or is gone.
UPDATE bulk_actions AS b
SET expires_at = now() + $5::float8 * interval '1 second',
    operation_no = coalesce(b.operation_no, nextval(pg_get_serial_sequence('operations', 'operation_no'))),
    at = coalesce(b.at, clock_timestamp()),
    by = coalesce(b.by, $6),
    reason = CASE WHEN b.at IS NULL THEN $7 ELSE b.reason END
WHERE b.tenant_no = $1 AND b.as_of = $2 AND b.action = $3 AND b.filter = $4 AND b.expires_at > now()
RETURNING b.bulk_no, b.matched
