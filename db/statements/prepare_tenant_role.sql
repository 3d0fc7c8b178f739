-- Make the role of tenants' requests unless there is one, let this user act as it, and grant it what those requests
-- need. What this user has no right to do is left out: `find_tenant_role_faults` tells what is missing. Roles belong to
-- all databases of a server, so another database's migration may do the same at the same time.
SELECT pg_advisory_xact_lock(hashtext('breakwater_tenant'));
DO $$
BEGIN
    IF to_regrole('breakwater_tenant') IS NULL THEN
        CREATE ROLE breakwater_tenant NOLOGIN;
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
EXCEPTION WHEN insufficient_privilege OR unique_violation OR internal_error THEN
    NULL;
END
$$;
DO $$
DECLARE
    schema_name name := (
        SELECT n.nspname
        FROM pg_class AS j
        JOIN pg_namespace AS n ON n.oid = j.relnamespace
        WHERE j.oid = 'jobs'::regclass
    );
BEGIN
    IF to_regrole('breakwater_tenant') IS NULL THEN
        RETURN;
    END IF;
    IF NOT has_schema_privilege('breakwater_tenant', schema_name, 'USAGE') THEN
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO breakwater_tenant', schema_name);
    END IF;
    GRANT SELECT ON
        jobs, specs, submissions, idempotency_keys, triggers, waves, batches, ready, executions, attempts, responses,
        events, dead_letters, imports, record_sets, record_types, import_batches, imported_records, rejects,
        open_generations, waiting_imports, key_usage, active_jobs
    TO breakwater_tenant;
    GRANT INSERT ON attempts, audit_entries, events, idempotency_keys, ready, triggers, key_usage, active_jobs
    TO breakwater_tenant;
    GRANT UPDATE ON
        jobs, triggers, waves, batches, ready, executions, dead_letters, imports, import_batches, record_sets,
        idempotency_keys, key_usage, active_jobs
    TO breakwater_tenant;
    GRANT DELETE ON ready, active_jobs TO breakwater_tenant;
    GRANT SELECT (key_no) ON api_keys TO breakwater_tenant;
    -- Of the installation: what explains a tenant's own jobs, and the counters that its actions raise.
    GRANT SELECT ON kinds, event_types, event_writers, pauses TO breakwater_tenant;
    GRANT SELECT (worker_no, id, role) ON workers TO breakwater_tenant;
    GRANT SELECT (provider, region, gate_closed_at, gate_until, gate_code) ON pools TO breakwater_tenant;
    GRANT SELECT (identity_no, kind, name, region, is_simulated) ON identities TO breakwater_tenant;
    GRANT SELECT (configuration_no, identity_nos, is_simulated, applied_at) ON configurations TO breakwater_tenant;
    GRANT SELECT (configuration_no, identity_nos) ON current_configuration TO breakwater_tenant;
    GRANT SELECT, INSERT, UPDATE ON tallies TO breakwater_tenant;
    GRANT USAGE ON SEQUENCE event_positions TO breakwater_tenant;
EXCEPTION WHEN insufficient_privilege THEN
    NULL;
END
$$;
