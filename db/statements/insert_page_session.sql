-- Open a session of pages ($1 its digest, $2 its id) of a tenant ($3), for the owner of a key's secret ($4) or for the
-- subject $6 of the issuer $5 with the scopes $7. It ends in $8 seconds.
INSERT INTO page_sessions (digest, id, tenant_no, secret_digest, issuer, subject, scopes, expires_at)
VALUES ($1::bytea, $2, $3::int, $4::bytea, $5, $6, $7::text[], now() + $8::float8 * interval '1 second')
