-- Make the roles of tenants' requests and of services unless they are there, let this user act as the first, and give
-- them the rights that this release declares here, and no others; record these. What this user has no right to do is
-- left out: `find_role_faults` tells what is missing. Roles belong to all databases of a server, so another database's
-- migration may do the same at the same time.
SELECT pg_advisory_xact_lock(hashtext('breakwater_tenant'));
DO $$
BEGIN
    IF to_regrole('breakwater_tenant') IS NULL THEN
        CREATE ROLE breakwater_tenant NOLOGIN;
    END IF;
    IF to_regrole('breakwater_service') IS NULL THEN
        CREATE ROLE breakwater_service LOGIN;
        -- Services see all rows; where the policies don't ask them, they work as fast as an owner.
        IF (SELECT r.rolsuper FROM pg_roles AS r WHERE r.rolname = session_user) THEN
            ALTER ROLE breakwater_service BYPASSRLS;
        END IF;
    END IF;
EXCEPTION WHEN insufficient_privilege OR duplicate_object OR unique_violation THEN
    NULL;
END
$$;
DO $$
DECLARE
    to_act text := CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END;
BEGIN
    IF NOT pg_has_role(session_user, to_regrole('breakwater_tenant'), to_act) THEN
        GRANT breakwater_tenant TO SESSION_USER;
    END IF;
    IF NOT pg_has_role(to_regrole('breakwater_service'), to_regrole('breakwater_tenant'), to_act) THEN
        GRANT breakwater_tenant TO breakwater_service;
    END IF;
EXCEPTION WHEN insufficient_privilege OR unique_violation OR internal_error THEN
    NULL;
END
$$;
DO $$
DECLARE
    granted record;
    schema_name name := (
        SELECT n.nspname
        FROM pg_class AS j
        JOIN pg_namespace AS n ON n.oid = j.relnamespace
        WHERE j.oid = 'jobs'::regclass
    );
BEGIN
    FOR granted IN SELECT a.removal FROM access_rules AS a WHERE a.kind = 'right'
    LOOP
        EXECUTE granted.removal;
    END LOOP;
    DELETE FROM expected_access_rules AS e WHERE e.kind = 'right';
    IF to_regrole('breakwater_tenant') IS NULL THEN
        RETURN;
    END IF;
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO breakwater_tenant', schema_name);
    GRANT SELECT ON
        jobs, specs, submissions, idempotency_keys, triggers, waves, batches, ready, executions, attempts, responses,
        events, dead_letters, imports, record_sets, record_types, import_batches, imported_records, rejects,
        open_generations, waiting_imports, key_usage, active_jobs, tenant_usage, bulk_actions, bulk_items
    TO breakwater_tenant;
    GRANT INSERT ON
        attempts, audit_entries, events, idempotency_keys, ready, triggers, key_usage, active_jobs, bulk_actions,
        bulk_items, tenant_usage
    TO breakwater_tenant;
    GRANT UPDATE ON
        jobs, triggers, waves, batches, ready, executions, dead_letters, imports, import_batches, record_sets,
        idempotency_keys, key_usage, active_jobs, tenant_usage, bulk_actions, bulk_items
    TO breakwater_tenant;
    GRANT DELETE ON ready, active_jobs TO breakwater_tenant;
    GRANT SELECT (key_no) ON api_keys TO breakwater_tenant;
    -- Of the installation: what explains a tenant's own jobs, and the counters that its actions raise.
    GRANT SELECT ON kinds, event_types, event_writers, pauses TO breakwater_tenant;
    GRANT SELECT (worker_no, id, role) ON workers TO breakwater_tenant;
    GRANT SELECT (provider, region, gate_closed_at, gate_until, gate_code) ON pools TO breakwater_tenant;
    GRANT SELECT (identity_no, kind, name, region, is_simulated, tenant) ON identities TO breakwater_tenant;
    GRANT SELECT (configuration_no, identity_nos, is_simulated, applied_at) ON configurations TO breakwater_tenant;
    GRANT SELECT (configuration_no, identity_nos) ON current_configuration TO breakwater_tenant;
    GRANT SELECT, INSERT, UPDATE ON tallies TO breakwater_tenant;
    GRANT USAGE ON SEQUENCE event_positions, operations_operation_no_seq TO breakwater_tenant;
    IF to_regrole('breakwater_service') IS NOT NULL THEN
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO breakwater_service', schema_name);
        EXECUTE format(
            'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %I TO breakwater_service', schema_name
        );
        EXECUTE format('GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA %I TO breakwater_service', schema_name);
        REVOKE UPDATE, DELETE ON audit_entries, submissions FROM breakwater_service;
        REVOKE INSERT, UPDATE, DELETE ON alembic_version, access_rules, expected_access_rules, audit_retention
        FROM breakwater_service;
    END IF;
    INSERT INTO expected_access_rules (object, kind, definition)
    SELECT a.object, a.kind, a.definition
    FROM access_rules AS a
    WHERE a.kind = 'right';
EXCEPTION WHEN insufficient_privilege THEN
    NULL;
END
$$;
