-- Built while jobs are stored; no release before this one needs it.
CREATE INDEX CONCURRENTLY jobs_waiting_by_tenant ON jobs (kind, tenant_no, turn, job_no) WHERE status IN ('queued', 'coordinating');
