-- PostgreSQL (15.18, 18.6) prints a parameter without a name as `import_sources.""` if the columns of the result have names, and
-- refuses to read that. The same function with a name for it.
CREATE OR REPLACE FUNCTION import_sources(of_job_no bigint)
RETURNS TABLE (tenant_no int, dataset text, record_type text, has_snapshot boolean) LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT
        j.tenant_no, s.spec ->> 'dataset', t.value ->> 'id', t.value #>> '{source,path}' IS NOT NULL
    FROM jobs AS j
    JOIN specs AS s USING (job_no)
    CROSS JOIN LATERAL json_array_elements(
        CASE json_typeof(s.spec -> 'record_types') WHEN 'array' THEN s.spec -> 'record_types' END
    ) AS t
    WHERE j.job_no = of_job_no AND j.kind = 'import';
END;
