-- List sessions of pages in the order of their ids: those above the id $1 (NULL: all), $2 at most, that haven't expired
-- and were used in the last $3 seconds; not those whose key is valid no more.
SELECT p.id, t.name AS tenant, k.id AS key_id, p.subject, p.created_at, p.last_used_at, p.expires_at
FROM page_sessions AS p
JOIN tenants AS t USING (tenant_no)
LEFT JOIN api_key_secrets AS s ON s.digest = p.secret_digest
LEFT JOIN api_keys AS k ON k.key_no = s.key_no
WHERE
    ($1::text IS NULL OR p.id > $1)
    AND p.expires_at > now()
    AND p.last_used_at + $3::float8 * interval '1 second' > now()
    AND k.revoked_at IS NULL
    AND (k.expires_at IS NULL OR k.expires_at > now())
    AND (s.expires_at IS NULL OR s.expires_at > now())
ORDER BY p.id
LIMIT $2
