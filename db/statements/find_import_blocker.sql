-- Find the import that import $1 has to wait for, if any. Among imports that share a record type with it: the last
-- waiting import before it by virtual finish time; else a running import, unless the sources of both have snapshots;
-- else the import that is being coordinated.
WITH own_types AS MATERIALIZED (
    SELECT s.tenant_no, s.dataset, s.record_type, s.has_snapshot
    FROM import_sources($1) AS s
), others AS MATERIALIZED (
    SELECT i.job_no, 'queued' AS status
    FROM imports AS i
    JOIN jobs AS j USING (job_no)
    JOIN jobs AS own ON own.job_no = $1
    WHERE i.waiting_since IS NOT NULL AND j.status = 'queued' AND (j.turn, j.job_no) < (own.turn, own.job_no)
        AND j.identity_nos <@ current_identities()
    UNION ALL
    SELECT i.job_no, 'coordinating'
    FROM imports AS i
    WHERE i.holder IS NOT NULL AND i.lease_until >= now() AND i.job_no <> $1
    UNION ALL
    SELECT DISTINCT g.job_no, g.status
    FROM own_types AS m
    JOIN record_sets AS r USING (tenant_no, dataset, record_type)
    JOIN open_generations AS g USING (record_set_no)
    WHERE g.status = 'running' AND g.job_no <> $1
)
SELECT o.job_no, j.id, s.record_type, o.status = 'running' AS is_running
FROM others AS o
CROSS JOIN LATERAL import_sources(o.job_no) AS s
JOIN own_types AS m USING (tenant_no, dataset, record_type)
JOIN jobs AS j ON j.job_no = o.job_no
WHERE o.status <> 'running' OR NOT (m.has_snapshot AND s.has_snapshot)
ORDER BY
    CASE o.status WHEN 'queued' THEN 1 WHEN 'running' THEN 2 ELSE 3 END,
    j.turn DESC, o.job_no DESC, s.record_type
LIMIT 1
