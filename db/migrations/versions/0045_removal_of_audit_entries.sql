-- For how many days the audit log is kept; no row: for ever. `breakwater migrate` sets it, as the owner; services read it.
CREATE TABLE audit_retention (
    is_only boolean NOT NULL DEFAULT true CONSTRAINT audit_retention_key PRIMARY KEY
        CONSTRAINT there_is_one_audit_retention CHECK (is_only),
    days int NOT NULL CONSTRAINT audit_log_is_kept_for_a_month CHECK (days >= 30)
);

-- Without a retention nothing is deleted; with one, each row is asked for its age by the trigger below.
CREATE OR REPLACE FUNCTION refuse_change_of_audit_log() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND EXISTS (SELECT FROM audit_retention) THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION 'the audit log is only added to, never changed'
        USING ERRCODE = 'check_violation', CONSTRAINT = 'audit_log_never_changes';
END
$$;

CREATE FUNCTION refuse_early_removal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (to_jsonb(OLD) ->> TG_ARGV[0])::timestamptz < (
        SELECT now() - make_interval(days => r.days) FROM audit_retention AS r
    ) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'the audit log keeps this entry for longer'
        USING ERRCODE = 'check_violation', CONSTRAINT = 'audit_log_keeps_what_is_recent';
END
$$;

CREATE TRIGGER audit_log_keeps_what_is_recent BEFORE DELETE ON audit_entries
FOR EACH ROW EXECUTE FUNCTION refuse_early_removal('at');
ALTER TABLE audit_entries ENABLE ALWAYS TRIGGER audit_log_keeps_what_is_recent;

CREATE TRIGGER audit_log_keeps_what_is_recent BEFORE DELETE ON submissions
FOR EACH ROW EXECUTE FUNCTION refuse_early_removal('submitted_at');
ALTER TABLE submissions ENABLE ALWAYS TRIGGER audit_log_keeps_what_is_recent;

-- Remove entries that are kept no longer, and submissions that no job came of, `at_most` of each; return how many. It runs
-- with its owner's rights, since services may delete nothing here; it asks nobody else for how long entries are kept.
CREATE FUNCTION remove_old_audit_entries(at_most int) RETURNS int LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    kept_since timestamptz := (SELECT now() - make_interval(days => r.days) FROM audit_retention AS r);
    removed_entries int;
    removed_submissions int;
BEGIN
    IF kept_since IS NULL THEN
        RETURN 0;
    END IF;
    DELETE FROM audit_entries AS d
    USING (SELECT e.entry_no FROM audit_entries AS e WHERE e.at < kept_since ORDER BY e.at LIMIT at_most) AS o
    WHERE d.entry_no = o.entry_no;
    GET DIAGNOSTICS removed_entries = ROW_COUNT;
    DELETE FROM submissions AS d
    USING (
        SELECT s.submission_no
        FROM submissions AS s
        WHERE s.job_no IS NULL AND s.submitted_at < kept_since
        ORDER BY s.submitted_at
        LIMIT at_most
    ) AS o
    WHERE d.submission_no = o.submission_no;
    GET DIAGNOSTICS removed_submissions = ROW_COUNT;
    RETURN removed_entries + removed_submissions;
END
$$;

-- Names are looked up where the tables are, and nowhere else: a temporary table sets no retention.
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
        'refuse_change_of_audit_log()', 'refuse_early_removal()', 'remove_old_audit_entries(int)'
    ]
    LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', signature, schema_name);
    END LOOP;
END
$$;
