-- Make a key ($1 its id) of the tenant with this name ($2), and its secret ($3, the SHA-256 of its text). $4 is its
-- name, $5 its scopes, $6 to $8 its limits, $9 its maker, and $10 the seconds until it expires (NULL: it doesn't).
-- No row without such a tenant.
WITH key AS (
    INSERT INTO api_keys (
        id, tenant_no, name, scopes, requests_per_second, active_jobs, cells_per_day, created_by, expires_at
    )
    SELECT
        $1, t.tenant_no, $4, $5::text[], $6::int, $7::int, $8::int, $9, now() + $10::float8 * interval '1 second'
    FROM tenants AS t
    WHERE t.name = $2
    RETURNING *
),
secret AS (
    INSERT INTO api_key_secrets (digest, key_no)
    SELECT $3::bytea, key.key_no FROM key
)
SELECT
    key.key_no, key.id, $2 AS tenant, key.name, key.scopes, key.requests_per_second, key.active_jobs,
    key.cells_per_day, key.created_at, key.created_by, key.expires_at, key.revoked_at, key.last_used_at
FROM key
