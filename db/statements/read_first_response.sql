-- Read the first response under an Idempotency-Key ($2) of a tenant ($1), if it is younger than $3 hours.
SELECT k.request, k.body_hash, k.status_code, k.answer
FROM idempotency_keys AS k
WHERE k.tenant_no = $1 AND k.key = $2 AND k.created_at > now() - $3::float8 * interval '1 hour'
