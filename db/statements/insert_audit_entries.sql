-- Enter actions, commands and refusals into the audit log; $12 is how many seconds ago each was.
INSERT INTO audit_entries (
    at, tenant_no, key_id, client, account, action, target, outcome, status_code, code, request_id, session_id
)
SELECT
    clock_timestamp() - e.age_seconds * interval '1 second', e.tenant_no, e.key_id, e.client, e.account, e.action,
    e.target::json, e.outcome, e.status_code, e.code, e.request_id, e.session_id
FROM unnest(
    $1::int[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::smallint[], $9::text[],
    $10::text[], $11::text[], $12::float8[]
) AS e (
    tenant_no, key_id, client, account, action, target, outcome, status_code, code, request_id, session_id,
    age_seconds
)
