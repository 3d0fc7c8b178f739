-- Find another import that is being coordinated or runs, and shares a record type with import $1 whose source has no
-- snapshot in one of the two.
WITH own_types AS MATERIALIZED (
    SELECT s.tenant_no, s.dataset, s.record_type, s.has_snapshot
    FROM import_sources($1) AS s
), others AS MATERIALIZED (
    SELECT i.job_no
    FROM imports AS i
    WHERE i.holder IS NOT NULL AND i.lease_until >= now() AND i.job_no <> $1
    UNION
    SELECT g.job_no
    FROM own_types AS m
    JOIN record_sets AS r USING (tenant_no, dataset, record_type)
    JOIN open_generations AS g USING (record_set_no)
    WHERE g.status = 'running' AND g.job_no <> $1
)
SELECT j.id AS job_id, s.record_type
FROM others AS o
CROSS JOIN LATERAL import_sources(o.job_no) AS s
JOIN own_types AS m USING (tenant_no, dataset, record_type)
JOIN jobs AS j ON j.job_no = o.job_no
WHERE NOT (m.has_snapshot AND s.has_snapshot)
ORDER BY o.job_no DESC, s.record_type
LIMIT 1
