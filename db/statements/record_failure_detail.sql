-- Set the detail of a failed job's error; its state and code stay.
UPDATE jobs AS j
SET error_detail = $2
WHERE j.job_no = $1
