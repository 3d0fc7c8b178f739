-- Count the jobs that wait to be planned, up to $1 of them.
SELECT count(*)::int
FROM (SELECT FROM jobs WHERE status = 'queued' LIMIT $1) AS waiting
