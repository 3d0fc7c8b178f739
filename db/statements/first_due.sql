-- Name one batch of these pools that is due and that nobody is claiming right now.
SELECT r.job_no, r.batch_no
FROM unnest($1::text[], $2::text[]) AS p (provider, region)
CROSS JOIN LATERAL (
    SELECT d.job_no, d.batch_no
    FROM ready AS d
    WHERE d.provider = p.provider AND d.region = p.region AND d.not_before <= now()
    ORDER BY d.turn, d.job_no, d.batch_no
    LIMIT 1
    FOR NO KEY UPDATE SKIP LOCKED
) AS r
LIMIT 1
