-- Keep the audit log for ever.
DELETE FROM audit_retention
