-- Return the regions and models that the numbers of a job's plan stand for, in the order of these.
SELECT s.region_ids, s.model_ids
FROM specs AS s
WHERE s.job_no = $1
