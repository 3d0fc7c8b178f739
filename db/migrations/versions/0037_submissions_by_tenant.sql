-- Built while jobs are submitted; no release before this one needs it.
CREATE INDEX CONCURRENTLY submissions_by_tenant ON submissions (tenant_no, submission_no);
