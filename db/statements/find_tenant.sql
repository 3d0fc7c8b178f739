-- Find the number of the tenant with this name ($1), and the secret that seals numbers.
SELECT t.tenant_no, (SELECT n.secret FROM number_secrets AS n) AS number_secret FROM tenants AS t WHERE t.name = $1
