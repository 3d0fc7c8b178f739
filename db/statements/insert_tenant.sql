-- Make a tenant with this name ($1) and these limits ($2 to $4). No row if there is one.
INSERT INTO tenants (name, requests_per_second, active_jobs, cells_per_day) VALUES ($1, $2, $3, $4)
ON CONFLICT (name) DO NOTHING
RETURNING tenant_no, name, created_at, requests_per_second, active_jobs, cells_per_day
