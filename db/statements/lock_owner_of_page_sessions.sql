-- Be the only transaction that opens a session of this owner (the key's secret $1, or the subject $3 of the issuer $2).
-- The lock has two numbers, of which the first ($4) belongs to these locks alone.
SELECT pg_advisory_xact_lock($4::int, hashtext(coalesce(encode($1::bytea, 'hex'), $2::text || ' ' || $3::text)))
