-- Return the regions and models of a job's plan, in the order of their numbers.
SELECT s.region_ids, s.model_ids
FROM specs AS s
WHERE s.job_no = $1
