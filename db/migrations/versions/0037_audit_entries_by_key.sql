-- Built while requests enter refusals and effects; no release before this one needs it.
CREATE INDEX CONCURRENTLY audit_entries_by_key ON audit_entries (key_id, entry_no) WHERE key_id IS NOT NULL;
