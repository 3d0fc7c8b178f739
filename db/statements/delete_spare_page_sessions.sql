-- Make room for a session of pages: delete those that expired, 100 at most, and of its owner (the key's secret $1, or
-- the subject $3 of the issuer $2) all but the newest $4. A look-up that notes a use is waited for: one session passed
-- over would be one too many.
WITH expired AS (
    SELECT p.digest
    FROM page_sessions AS p
    WHERE p.expires_at < now()
    ORDER BY p.expires_at
    LIMIT 100
    FOR UPDATE SKIP LOCKED
),
spare AS (
    SELECT p.digest
    FROM page_sessions AS p
    WHERE p.secret_digest = $1::bytea OR (p.issuer = $2::text AND p.subject = $3::text)
    ORDER BY p.created_at DESC
    OFFSET $4
),
locked AS (
    SELECT p.digest
    FROM page_sessions AS p
    WHERE p.digest IN (SELECT s.digest FROM spare AS s)
    ORDER BY p.digest
    FOR UPDATE
)
DELETE FROM page_sessions AS p
WHERE p.digest IN (SELECT e.digest FROM expired AS e UNION ALL SELECT l.digest FROM locked AS l)
