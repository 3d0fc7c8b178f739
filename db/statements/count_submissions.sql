-- Count how often each of these jobs was submitted: created, joined and replayed.
SELECT s.job_no, count(*)::int AS times_seen
FROM submissions AS s
WHERE s.job_no = ANY ($1::bigint[]) AND s.outcome <> 'rejected'
GROUP BY s.job_no
