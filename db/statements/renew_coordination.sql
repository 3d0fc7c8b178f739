-- Renew the lease of an import's coordination for $4 seconds, if fence $2 and holder $3 still have it.
UPDATE imports AS i
SET lease_until = now() + $4::float8 * interval '1 second', heartbeat_at = now()
WHERE i.job_no = $1 AND i.fence = $2 AND i.holder = $3
RETURNING i.job_no
