-- Built while requests enter refusals and effects; no release before this one needs it.
CREATE INDEX CONCURRENTLY audit_entries_by_tenant ON audit_entries (tenant_no, entry_no);
