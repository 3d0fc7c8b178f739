-- Return the virtual time at which it is a tenant's ($2) turn to have jobs of a kind ($1) planned; no row unless others
-- have some too.
SELECT t.starts_at
FROM tenants_with_jobs($1::text) AS t
WHERE t.tenant_no = $2 AND t.is_shared
