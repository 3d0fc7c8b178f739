-- What an import loads, by its spec, and whether its sources stay as they were surveyed: what has a path below the import root does,
-- by its staged content; what is read over a connection doesn't.
CREATE OR REPLACE FUNCTION import_sources(bigint)
RETURNS TABLE (tenant_no int, dataset text, record_type text, has_snapshot boolean) LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT
        j.tenant_no, s.spec ->> 'dataset', t.value ->> 'id', t.value #>> '{source,path}' IS NOT NULL
    FROM jobs AS j
    JOIN specs AS s USING (job_no)
    CROSS JOIN LATERAL json_array_elements(
        CASE json_typeof(s.spec -> 'record_types') WHEN 'array' THEN s.spec -> 'record_types' END
    ) AS t
    WHERE j.job_no = $1 AND j.kind = 'import';
END;
