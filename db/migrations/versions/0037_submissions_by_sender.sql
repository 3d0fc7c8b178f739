-- Built while jobs are submitted; no release before this one needs it. Without authentication there is no sender.
CREATE INDEX CONCURRENTLY submissions_by_sender ON submissions (submitted_by, submission_no)
WHERE submitted_by IS NOT NULL;
