-- Return whether an import ($1) failed before it had any wave; with the code $2, unless that is NULL.
SELECT j.job_no
FROM jobs AS j
WHERE j.job_no = $1 AND j.kind = 'import' AND j.status = 'failed'
    AND ($2::text IS NULL OR j.error_code = $2)
    AND NOT EXISTS (SELECT FROM waves AS w WHERE w.job_no = j.job_no)
