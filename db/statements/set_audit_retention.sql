-- Keep the audit log for $1 days.
INSERT INTO audit_retention (days) VALUES ($1)
ON CONFLICT ON CONSTRAINT audit_retention_key DO UPDATE SET days = excluded.days
