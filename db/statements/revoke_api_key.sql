-- Revoke a key ($1 its id) for good, by $2. A key that is revoked stays as it is. No row if there is no such key.
UPDATE api_keys AS k
SET revoked_at = coalesce(k.revoked_at, now()), revoked_by = coalesce(k.revoked_by, $2)
WHERE k.id = $1
RETURNING k.key_no
