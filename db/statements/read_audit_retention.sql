-- For how many days the audit log is kept; no row: for ever.
SELECT r.days FROM audit_retention AS r
