-- Lock the coordination of a locked import, if fence $2 and holder $3 still hold it. An expired lease that no worker
-- took still holds.
SELECT i.job_no
FROM imports AS i
WHERE i.job_no = $1 AND i.fence = $2 AND i.holder = $3
FOR NO KEY UPDATE
