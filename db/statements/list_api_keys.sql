-- List keys, newest first: those with a number below $1 (NULL: all), $2 at most, or the one with the id $3.
SELECT
    k.key_no, k.id, t.name AS tenant, k.name, k.scopes, k.requests_per_second, k.active_jobs, k.cells_per_day,
    k.created_at, k.created_by, k.expires_at, k.revoked_at, k.last_used_at
FROM api_keys AS k
JOIN tenants AS t USING (tenant_no)
WHERE ($1::bigint IS NULL OR k.key_no < $1) AND ($3::text IS NULL OR k.id = $3)
ORDER BY k.key_no DESC
LIMIT $2
