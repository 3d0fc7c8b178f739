-- List the normalized specs of these jobs; unknown jobs and purged specs are absent.
SELECT s.job_no, s.spec
FROM specs AS s
WHERE s.job_no = ANY ($1::bigint[]) AND s.spec IS NOT NULL
