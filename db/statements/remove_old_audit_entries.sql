-- Remove what the audit log needn't keep any more, up to $1 entries and as many submissions; return how many.
SELECT remove_old_audit_entries($1)
