-- Find the number of the tenant with this name ($1).
SELECT t.tenant_no FROM tenants AS t WHERE t.name = $1
