-- Make a tenant with this name ($1). No row if there is one.
INSERT INTO tenants (name) VALUES ($1)
ON CONFLICT (name) DO NOTHING
RETURNING tenant_no, name, created_at
