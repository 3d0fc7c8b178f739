-- Accept jobs from before any configuration under the first one: those in $1, or all open jobs if that is NULL. A job
-- that names a provider or source outside of it stays unchanged: no worker may run it.
WITH first AS MATERIALIZED (
    SELECT c.configuration_no, c.is_simulated, c.identity_nos
    FROM configurations AS c
    ORDER BY c.configuration_no
    LIMIT 1
), known AS MATERIALIZED (
    SELECT i.identity_no, i.kind, i.name, i.region, i.tenant
    FROM first AS f
    JOIN identities AS i ON i.identity_no = ANY (f.identity_nos)
), unconfigured_jobs AS MATERIALIZED (
    SELECT j.job_no, j.tenant_no, s.spec
    FROM jobs AS j
    JOIN specs AS s USING (job_no)
    WHERE j.identity_nos IS NULL AND s.spec IS NOT NULL
        AND (j.job_no = ANY ($1::bigint[]) OR ($1::bigint[] IS NULL AND j.finished_at IS NULL))
    ORDER BY j.job_no
    FOR NO KEY UPDATE OF j
), wanted AS (
    SELECT DISTINCT
        j.job_no, j.tenant_no, 'provider' AS kind,
        CASE WHEN f.is_simulated THEN 'echo' ELSE m ->> 'provider' END AS name, r AS region
    FROM unconfigured_jobs AS j
    CROSS JOIN first AS f
    CROSS JOIN LATERAL json_array_elements(j.spec -> 'models') AS m
    CROSS JOIN LATERAL json_array_elements_text(m -> 'regions') AS r
    UNION
    SELECT
        j.job_no,
        j.tenant_no,
        CASE WHEN t #>> '{source,path}' IS NOT NULL THEN 'import_root' ELSE 'connection' END,
        coalesce(t #>> '{source,connection}', ''),
        ''
    FROM unconfigured_jobs AS j
    CROSS JOIN LATERAL json_array_elements(j.spec -> 'record_types') AS t
), accepted AS (
    SELECT w.job_no, array_agg(k.identity_no ORDER BY k.identity_no) AS identity_nos
    FROM wanted AS w
    LEFT JOIN LATERAL (
        SELECT i.identity_no
        FROM known AS i
        WHERE i.kind = w.kind AND i.name = w.name AND i.region = w.region
            AND (i.tenant IS NULL OR names_tenant(i.tenant, w.tenant_no))
        ORDER BY i.tenant
        LIMIT 1
    ) AS k ON true
    GROUP BY w.job_no
    HAVING count(*) = count(k.identity_no)
)
UPDATE jobs AS j
SET configuration_no = f.configuration_no, identity_nos = a.identity_nos
FROM accepted AS a
CROSS JOIN first AS f
WHERE j.job_no = a.job_no
RETURNING j.job_no
