-- Find the valid keys among these secrets ($1, SHA-256 of their texts): the owner, scopes and limits of each, those
-- of its tenant, the seconds for which it stays valid (NULL: until it is revoked), and the secret that seals numbers.
SELECT
    s.digest, k.key_no, k.id, k.tenant_no, t.name AS tenant, k.scopes, k.requests_per_second, k.active_jobs,
    k.cells_per_day, t.requests_per_second AS tenant_requests_per_second, t.active_jobs AS tenant_active_jobs,
    t.cells_per_day AS tenant_cells_per_day,
    extract(EPOCH FROM least(k.expires_at, s.expires_at) - now())::float8 AS valid_seconds,
    (SELECT n.secret FROM number_secrets AS n) AS number_secret
FROM api_key_secrets AS s
JOIN api_keys AS k USING (key_no)
JOIN tenants AS t USING (tenant_no)
WHERE
    s.digest = ANY ($1::bytea[])
    AND k.revoked_at IS NULL
    AND (k.expires_at IS NULL OR k.expires_at > now())
    AND (s.expires_at IS NULL OR s.expires_at > now())
