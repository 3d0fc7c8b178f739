-- Lock a valid key ($1 its id) until the transaction ends, and return its number.
SELECT k.key_no
FROM api_keys AS k
WHERE k.id = $1 AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())
FOR UPDATE
