-- Give a key ($1 its number) another secret ($2, its SHA-256). The secrets before it expire in $3 seconds, unless they
-- do earlier. The key was locked by a statement before this one: its own snapshot may lack another rotation's secret.
WITH older AS (
    UPDATE api_key_secrets AS s
    SET expires_at = least(s.expires_at, now() + $3::float8 * interval '1 second')
    WHERE s.key_no = $1
)
INSERT INTO api_key_secrets (digest, key_no) VALUES ($2::bytea, $1)
