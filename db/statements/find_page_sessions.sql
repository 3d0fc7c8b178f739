-- Find the valid sessions of pages among those with these digests ($1): the owner, scopes and limits of each, those of
-- its tenant, and the secret that seals numbers. A session ends $2 seconds after its last use; this look-up is a use,
-- which is noted every half a minute. Only those of the issuer $3 count, besides those of keys.
WITH valid AS (
    SELECT
        p.digest, p.id, p.tenant_no, o.name AS tenant, p.subject, p.last_used_at, k.id AS key_id, k.key_no,
        coalesce(k.scopes, p.scopes) AS scopes, k.requests_per_second, k.active_jobs, k.cells_per_day,
        o.requests_per_second AS tenant_requests_per_second, o.active_jobs AS tenant_active_jobs,
        o.cells_per_day AS tenant_cells_per_day
    FROM page_sessions AS p
    JOIN tenants AS o USING (tenant_no)
    LEFT JOIN api_key_secrets AS s ON s.digest = p.secret_digest
    LEFT JOIN api_keys AS k ON k.key_no = s.key_no
    WHERE
        p.digest = ANY ($1::bytea[])
        AND p.expires_at > now()
        AND p.last_used_at + $2::float8 * interval '1 second' > now()
        AND CASE
            WHEN p.secret_digest IS NULL THEN p.issuer = $3::text
            ELSE k.revoked_at IS NULL
                AND (k.expires_at IS NULL OR k.expires_at > now())
                AND (s.expires_at IS NULL OR s.expires_at > now())
        END
),
to_note AS (
    SELECT p.digest
    FROM page_sessions AS p
    WHERE
        p.digest IN (SELECT v.digest FROM valid AS v WHERE v.last_used_at < now() - interval '30 seconds')
    ORDER BY p.digest
    FOR UPDATE SKIP LOCKED
),
noted AS (
    UPDATE page_sessions AS p SET last_used_at = now() FROM to_note AS t WHERE p.digest = t.digest
)
SELECT
    v.digest, v.id, v.tenant_no, v.tenant, v.subject, v.key_id, v.key_no, v.scopes, v.requests_per_second,
    v.active_jobs, v.cells_per_day, v.tenant_requests_per_second, v.tenant_active_jobs, v.tenant_cells_per_day,
    (SELECT n.secret FROM number_secrets AS n) AS number_secret
FROM valid AS v
