-- End the delay of an import whose coordination was rescheduled.
UPDATE imports AS i
SET not_before = NULL
WHERE i.job_no = $1 AND i.not_before IS NOT NULL
