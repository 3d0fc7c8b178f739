-- The kinds of jobs, as rows: whoever starts enters those that it brings. Until now a check of jobs named them.
CREATE TABLE kinds (
    kind text NOT NULL CONSTRAINT kinds_key PRIMARY KEY,
    unit text NOT NULL CONSTRAINT kind_unit_is_known CHECK (unit IN ('cell', 'batch'))
);
INSERT INTO kinds (kind, unit) VALUES ('inference', 'cell'), ('import', 'batch');

-- Rows of before are checked in a transaction of their own (0017), which holds up nobody.
ALTER TABLE jobs DROP CONSTRAINT job_kind_is_known;
ALTER TABLE jobs ADD CONSTRAINT job_kind_is_known FOREIGN KEY (kind) REFERENCES kinds NOT VALID;

-- A job whose units are counted by its coordination learns its plan then, whatever its kind.
DROP TRIGGER job_transition_is_legal ON jobs;
CREATE TRIGGER job_transition_is_legal BEFORE UPDATE ON jobs
FOR EACH ROW WHEN (
    OLD.job_no <> NEW.job_no OR OLD.tenant_no <> NEW.tenant_no OR OLD.id <> NEW.id OR OLD.kind <> NEW.kind
    OR (OLD.planned <> NEW.planned AND NOT (OLD.status = 'coordinating' AND OLD.planned = 0))
    OR (OLD.status <> NEW.status AND (OLD.status || '>' || NEW.status) <> ALL (ARRAY[
        'queued>coordinating', 'queued>running', 'queued>failed', 'queued>cancelled',
        'coordinating>queued', 'coordinating>running', 'coordinating>failed', 'coordinating>cancelled',
        'running>completed', 'running>partial', 'running>failed', 'running>cancelled',
        'failed>running', 'partial>running', 'failed>queued',
        'failed>partial', 'failed>completed', 'partial>completed'
    ]))
) EXECUTE FUNCTION refuse_transition('job');
