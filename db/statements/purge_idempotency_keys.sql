-- Delete a page of Idempotency-Keys that are older than $1 hours.
DELETE FROM idempotency_keys
WHERE (tenant_no, key) IN (
    SELECT k.tenant_no, k.key
    FROM idempotency_keys AS k
    WHERE k.created_at < now() - $1::float8 * interval '1 hour'
    ORDER BY k.created_at
    LIMIT $2
    FOR UPDATE SKIP LOCKED
)
