-- Lock up to $1 queued jobs whose queue timeout has passed, by the function of that name, which plans for a queue of
-- any length. Jobs that are held because they were accepted under what isn't configured any more are overdue, too.
SELECT o.job_no, o.id, o.waited_seconds
FROM lock_overdue_jobs($1::int) AS o
