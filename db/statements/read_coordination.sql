-- Read who coordinates an import ($1), while somebody does, and how many waves it has.
SELECT
    i.fence, i.attempts, i.lease_until, i.heartbeat_at, i.not_before, i.error_code, i.error_detail, i.away_since,
    w.id AS worker,
    (SELECT count(*)::int FROM waves AS v WHERE v.job_no = i.job_no) AS waves,
    (SELECT v.wave_no FROM waves AS v WHERE v.job_no = i.job_no AND v.status = 'running') AS running_wave_no
FROM imports AS i
LEFT JOIN workers AS w ON w.worker_no = i.worker_no AND i.holder IS NOT NULL
WHERE i.job_no = $1
