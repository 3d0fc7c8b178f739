-- Record the outcome of the triggers that waited for these jobs' coordination: the oldest trigger of a job in $2 won
-- it, all others joined.
UPDATE triggers AS t
SET outcome = CASE
        WHEN t.job_no = ANY ($2::bigint[])
            AND NOT EXISTS (
                SELECT
                FROM triggers AS older
                WHERE older.job_no = t.job_no AND older.outcome IS NULL AND older.trigger_no < t.trigger_no
            )
            THEN 'won'
        ELSE 'joined'
    END,
    finished_at = clock_timestamp(),
    worker_no = $3::int
WHERE t.job_no = ANY ($1::bigint[]) AND t.outcome IS NULL
RETURNING t.source, t.outcome
