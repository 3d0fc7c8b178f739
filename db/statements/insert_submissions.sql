-- Enter submissions into the ledger, each of its tenant.
INSERT INTO submissions (
    tenant_no, job_no, kind, outcome, reason, matched_on, status_code, idempotency_key, client, user_agent, request_id,
    submitted_by, session_id
)
SELECT s.*
FROM unnest(
    $1::int[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::smallint[], $8::text[], $9::text[],
    $10::text[], $11::text[], $12::text[], $13::text[]
) AS s (
    tenant_no, job_no, kind, outcome, reason, matched_on, status_code, idempotency_key, client, user_agent, request_id,
    submitted_by, session_id
)
