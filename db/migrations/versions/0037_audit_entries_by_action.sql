-- Built while requests enter refusals and effects; no release before this one needs it.
CREATE INDEX CONCURRENTLY audit_entries_by_action ON audit_entries (action, entry_no);
