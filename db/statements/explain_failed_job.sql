-- Say in a job's error what failed; its state and code stay.
UPDATE jobs AS j
SET error_detail = $2
WHERE j.job_no = $1
