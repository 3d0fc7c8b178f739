-- Let an import that was to be coordinated later be coordinated at once.
UPDATE imports AS i
SET not_before = NULL
WHERE i.job_no = $1 AND i.not_before IS NOT NULL
