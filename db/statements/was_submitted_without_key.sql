-- Whether the job $1 was submitted without an API key.
SELECT EXISTS (
    SELECT
    FROM submissions AS s
    WHERE s.job_no = $1 AND s.outcome = 'created' AND s.submitted_by IS NULL
)
