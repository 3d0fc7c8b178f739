-- Lock an import that is still to be coordinated. Fence and holder of its coordination change under this lock only.
SELECT j.job_no
FROM jobs AS j
WHERE j.job_no = $1 AND j.kind = 'import' AND j.status IN ('queued', 'coordinating')
FOR NO KEY UPDATE
