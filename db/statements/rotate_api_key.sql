-- Give a key ($1 its id) another secret ($2, its SHA-256). The secrets before it expire in $3 seconds, unless they do
-- earlier. No row if there is no such key, or it isn't valid any more.
WITH key AS (
    SELECT k.key_no
    FROM api_keys AS k
    WHERE k.id = $1 AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())
    FOR UPDATE
),
older AS (
    UPDATE api_key_secrets AS s
    SET expires_at = least(s.expires_at, now() + $3::float8 * interval '1 second')
    FROM key
    WHERE s.key_no = key.key_no
)
INSERT INTO api_key_secrets (digest, key_no)
SELECT $2::bytea, key.key_no FROM key
RETURNING key_no
