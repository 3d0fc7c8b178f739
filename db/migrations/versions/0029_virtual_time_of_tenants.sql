-- Tenants share each queue equally, and the jobs of a tenant share what it gets (docs/decisions/0046). A job's and a batch's
-- virtual finish time (`turn`) is from here on that among its tenant's. Where a single tenant has work, as before there were
-- keys, it is what it was. Releases before this one go on by `turn` alone, with the functions that they know.
CREATE INDEX ready_by_tenant ON ready (identity_no, tenant_no, turn, job_no, batch_no);

-- Start-time fair queueing (Goyal, 1996) between the tenants of a queue: the virtual times at which what was last taken of a
-- tenant's work began and ends. A queue is a kind, whose jobs wait to be planned, or an identity (its number), whose batches
-- wait to run. Not logged: after a crash all tenants begin anew, at the same time.
CREATE UNLOGGED TABLE tenant_turns (
    queue text NOT NULL,
    tenant_no int NOT NULL CONSTRAINT turn_belongs_to_tenant REFERENCES tenants,
    last_start bigint NOT NULL,
    last_finish bigint NOT NULL,
    CONSTRAINT tenant_turns_key PRIMARY KEY (queue, tenant_no)
) WITH (fillfactor = 50);
SELECT protect_rows_of_tenants();

-- The tenants of a queue, those first that had least of it. Where there is more than one, the queue `is_shared`, and what is
-- taken of a tenant's work is charged to it from `starts_at` on. No tenant starts before the latest start of those that have
-- work: one that had none meanwhile isn't served for that time.
CREATE FUNCTION tenants_in_turn(of_queue text, tenant_nos int[])
RETURNS TABLE (tenant_no int, place int, starts_at bigint, is_shared boolean) LANGUAGE plpgsql STABLE ROWS 2 AS $$
BEGIN
    IF cardinality(tenant_nos) < 2 THEN
        RETURN QUERY SELECT w.tenant_no, 1, 0::bigint, false FROM unnest(tenant_nos) AS w (tenant_no);
        RETURN;
    END IF;
    RETURN QUERY
        SELECT
            s.tenant_no, row_number() OVER (ORDER BY s.starts_at, s.last_finish, s.tenant_no)::int, s.starts_at, true
        FROM (
            SELECT
                w.tenant_no, coalesce(t.last_finish, 0) AS last_finish,
                greatest(t.last_finish, max(coalesce(t.last_start, 0)) OVER ()) AS starts_at
            FROM unnest(tenant_nos) AS w (tenant_no)
            LEFT JOIN tenant_turns AS t ON t.queue = of_queue AND t.tenant_no = w.tenant_no
        ) AS s
        ORDER BY s.starts_at, s.last_finish, s.tenant_no;
END
$$;

-- The tenants with ready batches of an identity, in turn. Steps from tenant to tenant over the index, however many batches
-- each has.
CREATE FUNCTION tenants_with_batches(of_identity int)
RETURNS TABLE (tenant_no int, place int, starts_at bigint, is_shared boolean) LANGUAGE plpgsql STABLE ROWS 2 AS $$
DECLARE
    found int := (SELECT min(r.tenant_no) FROM ready AS r WHERE r.identity_no = of_identity);
    tenant_nos int[];
BEGIN
    WHILE found IS NOT NULL LOOP
        tenant_nos := tenant_nos || found;
        found := (SELECT min(r.tenant_no) FROM ready AS r WHERE r.identity_no = of_identity AND r.tenant_no > found);
    END LOOP;
    RETURN QUERY SELECT * FROM tenants_in_turn(of_identity::text, tenant_nos);
END
$$;

-- The tenants with jobs of a kind that wait to be planned, in turn; likewise.
CREATE FUNCTION tenants_with_jobs(of_kind text)
RETURNS TABLE (tenant_no int, place int, starts_at bigint, is_shared boolean) LANGUAGE plpgsql STABLE ROWS 2 AS $$
DECLARE
    found int := -1;
    tenant_nos int[];
BEGIN
    LOOP
        found := (
            SELECT min(j.tenant_no)
            FROM jobs AS j
            WHERE j.kind = of_kind AND j.status IN ('queued', 'coordinating') AND j.tenant_no > found
        );
        EXIT WHEN found IS NULL;
        tenant_nos := tenant_nos || found;
    END LOOP;
    RETURN QUERY SELECT * FROM tenants_in_turn(of_kind, tenant_nos);
END
$$;

-- `virtual_finish_time` and `queue_virtual_time`, among the work of one tenant.
CREATE FUNCTION virtual_finish_time_of_tenant(of_tenant int, of_identity int, cells bigint, follows bigint DEFAULT 0)
RETURNS bigint LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN greatest(
        virtual_finish_time_of_tenant.follows,
        virtual_finish_time_of_tenant.cells + (
            SELECT coalesce(min(r.turn), 0)
            FROM ready AS r
            WHERE r.identity_no = of_identity AND r.tenant_no = of_tenant AND r.not_before <= now()
        )
    );
END
$$;

CREATE FUNCTION queue_virtual_time_of_tenant(of_tenant int, of_kind text) RETURNS bigint LANGUAGE plpgsql STABLE
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
BEGIN
    RETURN coalesce(
        (
            SELECT q.turn
            FROM jobs AS q
            WHERE q.status = 'queued' AND q.kind = of_kind AND q.tenant_no = of_tenant
                AND q.identity_nos <@ (SELECT current_identities())
                AND NOT EXISTS (SELECT FROM imports AS i WHERE i.job_no = q.job_no AND i.not_before > now())
            ORDER BY q.turn
            LIMIT 1
        ),
        0
    );
END
$$;
