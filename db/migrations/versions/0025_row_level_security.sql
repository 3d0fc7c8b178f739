-- Requests of tenants run as the role `breakwater_tenant`, which owns nothing and sees the rows of the transaction's tenant
-- alone (docs/decisions/0041). Every other role sees and changes what it could before. The role is made and granted its rights
-- by `db/roles.py`, since that takes rights which a migrating user may lack.

-- The tenant of the transaction; NULL while none is set.
CREATE FUNCTION current_tenant_no() RETURNS int LANGUAGE sql STABLE PARALLEL SAFE
RETURN nullif(current_setting('breakwater.tenant_no', true), '')::int;

CREATE FUNCTION sees_all_tenants() RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE
RETURN current_user <> 'breakwater_tenant';

-- Give each table of tenants' rows its policy: a table with one of these columns, by the first of them that it has. A migration
-- that makes such a table calls this at its end. The subqueries run once per statement, not per row.
CREATE FUNCTION protect_rows_of_tenants() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    protected record;
BEGIN
    FOR protected IN
        SELECT
            c.oid::regclass AS name,
            CASE
                WHEN bool_or(a.attname = 'tenant_no') THEN 'tenant_no = (SELECT current_tenant_no())'
                WHEN bool_or(a.attname = 'record_set_no')
                    THEN format('EXISTS (SELECT FROM record_sets AS s WHERE s.record_set_no = %I.record_set_no)', c.relname)
                WHEN bool_or(a.attname = 'job_no')
                    THEN format('EXISTS (SELECT FROM jobs AS j WHERE j.job_no = %I.job_no)', c.relname)
                ELSE format('EXISTS (SELECT FROM api_keys AS k WHERE k.key_no = %I.key_no)', c.relname)
            END AS is_own
        FROM pg_class AS c
        JOIN pg_attribute AS a
            ON a.attrelid = c.oid AND a.attname IN ('tenant_no', 'record_set_no', 'job_no', 'key_no')
        WHERE c.relnamespace = (SELECT j.relnamespace FROM pg_class AS j WHERE j.oid = 'jobs'::regclass)
            AND c.relkind IN ('r', 'p') AND NOT c.relrowsecurity
        GROUP BY c.oid, c.relname
        ORDER BY c.relname
    LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', protected.name);
        EXECUTE format(
            'CREATE POLICY rows_of_the_tenant ON %s USING ((SELECT sees_all_tenants()) OR %s)',
            protected.name, protected.is_own
        );
    END LOOP;
END
$$;
SELECT protect_rows_of_tenants();

-- Where the next events of all jobs stand, up to `at_most` of each kind: first those from before positions were drawn, with
-- position 0. A tenant's reader passes over those of others without seeing more of them; else it would look for its own among
-- all that there are. `is_in_place` unless the event has a position too, and is read by that.
CREATE FUNCTION event_places_after(after_position bigint, after_job bigint, after_event int, up_to bigint, at_most bigint)
RETURNS TABLE (event_position bigint, job_no bigint, event_no int, is_in_place boolean) LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF after_position = 0 THEN
        RETURN QUERY
            SELECT 0::bigint, o.job_no, o.event_no, o.position IS NULL
            FROM events AS o
            WHERE (o.job_no, o.event_no) > (after_job, after_event) AND o.job_no <= last_job_before_positions()
            ORDER BY o.job_no, o.event_no
            LIMIT at_most;
    END IF;
    RETURN QUERY
        SELECT p.position, p.job_no, p.event_no, true
        FROM events AS p
        WHERE p.position > after_position AND p.position <= up_to
        ORDER BY p.position
        LIMIT at_most;
END
$$;

-- What these functions look at isn't only the tenant's: a guard that sees no row must not permit, and virtual times are those of
-- all tenants. So they see what their owner sees; their names are looked up where the tables are, and nowhere else.
DO $$
DECLARE
    schema_name name := (
        SELECT n.nspname
        FROM pg_class AS j
        JOIN pg_namespace AS n ON n.oid = j.relnamespace
        WHERE j.oid = 'jobs'::regclass
    );
    signature text;
BEGIN
    FOREACH signature IN ARRAY ARRAY[
        'refuse_loss()', 'refuse_second_finished_event()', 'delete_batches_of_waves()',
        'virtual_finish_time(bigint, bigint, bigint)', 'queue_virtual_time(text)',
        'event_places_after(bigint, bigint, int, bigint, bigint)'
    ]
    LOOP
        EXECUTE format('ALTER FUNCTION %s SECURITY DEFINER SET search_path = %I, pg_temp', signature, schema_name);
    END LOOP;
END
$$;

-- A view runs as its owner unless it says otherwise, and would show a tenant the jobs of all.
ALTER VIEW open_generations SET (security_invoker = true);
ALTER VIEW waiting_imports SET (security_invoker = true);
ALTER VIEW jobs_at_limit SET (security_invoker = true);
