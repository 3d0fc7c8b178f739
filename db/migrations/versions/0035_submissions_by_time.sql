-- Built while jobs are submitted; no release before this one needs it.
CREATE INDEX CONCURRENTLY submissions_by_time ON submissions (submitted_at);
