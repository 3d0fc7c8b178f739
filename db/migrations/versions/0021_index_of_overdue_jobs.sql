-- Built while jobs are stored; no release before this one needs it.
CREATE INDEX CONCURRENTLY jobs_by_overdue ON jobs (overdue_at) WHERE status = 'queued' AND overdue_at IS NOT NULL;
