-- Keep the first responses under their keys; an expired key is replaced. Each key is its tenant's ($1).
INSERT INTO idempotency_keys (tenant_no, key, request, body_hash, job_no, status_code, answer, submitted)
SELECT k.tenant_no, k.key, k.request, k.body_hash, k.job_no, k.status_code, k.answer::json, k.submitted::json
FROM unnest($1::int[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::smallint[], $7::text[], $8::text[])
    AS k (tenant_no, key, request, body_hash, job_no, status_code, answer, submitted)
ON CONFLICT ON CONSTRAINT unique_idempotency_key_per_tenant DO UPDATE
SET request = excluded.request,
    body_hash = excluded.body_hash,
    job_no = excluded.job_no,
    status_code = excluded.status_code,
    answer = excluded.answer,
    submitted = excluded.submitted,
    created_at = now()
WHERE idempotency_keys.created_at <= now() - $9::float8 * interval '1 hour'
RETURNING tenant_no, key
