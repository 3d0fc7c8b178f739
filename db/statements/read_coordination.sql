-- Read an import's ($1) coordinator, if it has one, the import that it waits for, and its number of waves.
SELECT
    i.fence, i.attempts, i.lease_until, i.heartbeat_at, i.not_before, i.error_code, i.error_detail, i.away_since,
    w.id AS worker, x.waits_for_id, x.waits_for_type, x.waits_for_end, x.waiting_since,
    (SELECT count(*)::int FROM waves AS v WHERE v.job_no = i.job_no) AS waves,
    (SELECT v.wave_no FROM waves AS v WHERE v.job_no = i.job_no AND v.status = 'running') AS running_wave_no
FROM imports AS i
LEFT JOIN workers AS w ON w.worker_no = i.worker_no AND i.holder IS NOT NULL
LEFT JOIN waiting_imports AS x ON x.job_no = i.job_no
WHERE i.job_no = $1
