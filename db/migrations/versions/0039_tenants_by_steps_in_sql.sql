-- As in 0029, the tenants with work are found by stepping over an index from one to the next, however much each has queued;
-- but in one statement: 2 µs of CPU for a step and not 4 (2026-11-30).
CREATE OR REPLACE FUNCTION tenants_with_batches(of_identity int)
RETURNS TABLE (tenant_no int, place int, starts_at bigint, is_shared boolean) LANGUAGE plpgsql STABLE ROWS 2 AS $$
DECLARE
    tenant_nos int[] := (
        WITH RECURSIVE steps AS (
            SELECT min(r.tenant_no) AS found FROM ready AS r WHERE r.identity_no = of_identity
            UNION ALL
            SELECT (
                SELECT min(r.tenant_no)
                FROM ready AS r
                WHERE r.identity_no = of_identity AND r.tenant_no > s.found
            )
            FROM steps AS s
            WHERE s.found IS NOT NULL
        )
        SELECT array_agg(s.found) FROM steps AS s WHERE s.found IS NOT NULL
    );
BEGIN
    RETURN QUERY SELECT * FROM tenants_in_turn(of_identity::text, tenant_nos);
END
$$;

CREATE OR REPLACE FUNCTION tenants_with_jobs(of_kind text)
RETURNS TABLE (tenant_no int, place int, starts_at bigint, is_shared boolean) LANGUAGE plpgsql STABLE ROWS 2 AS $$
DECLARE
    tenant_nos int[] := (
        WITH RECURSIVE steps AS (
            SELECT min(j.tenant_no) AS found
            FROM jobs AS j
            WHERE j.kind = of_kind AND j.status IN ('queued', 'coordinating')
            UNION ALL
            SELECT (
                SELECT min(j.tenant_no)
                FROM jobs AS j
                WHERE j.kind = of_kind AND j.status IN ('queued', 'coordinating') AND j.tenant_no > s.found
            )
            FROM steps AS s
            WHERE s.found IS NOT NULL
        )
        SELECT array_agg(s.found) FROM steps AS s WHERE s.found IS NOT NULL
    );
BEGIN
    RETURN QUERY SELECT * FROM tenants_in_turn(of_kind, tenant_nos);
END
$$;
