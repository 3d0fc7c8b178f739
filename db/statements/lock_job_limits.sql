-- Lock the limits of the jobs whose batches are next in these pools ($3 of each); pass over those another claim counts.
SELECT l.job_no
FROM job_limits AS l
WHERE l.job_no = ANY (ARRAY(
    SELECT r.job_no
    FROM unnest($1::text[], $2::text[]) AS p (provider, region)
    CROSS JOIN LATERAL (
        SELECT w.job_no
        FROM ready AS w
        WHERE w.provider = p.provider AND w.region = p.region AND w.not_before <= now()
        ORDER BY w.turn, w.job_no, w.batch_no
        LIMIT $3
    ) AS r
))
ORDER BY l.job_no
FOR NO KEY UPDATE SKIP LOCKED
