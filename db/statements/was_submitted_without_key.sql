-- Whether a job was submitted without an API key: job $1, or, if that is NULL, the one of dead letter $2.
SELECT EXISTS (
    SELECT
    FROM submissions AS s
    WHERE s.job_no = coalesce($1::bigint, (SELECT d.job_no FROM dead_letters AS d WHERE d.dead_letter_no = $2::bigint))
        AND s.outcome = 'created'
        AND s.submitted_by IS NULL
)
