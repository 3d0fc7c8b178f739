-- Events: one function writes them, their types are rows, and they have an order over all jobs (docs/decisions/0028).

CREATE TABLE event_types (
    type text NOT NULL CONSTRAINT event_types_key PRIMARY KEY
);
INSERT INTO event_types (type)
VALUES
    ('accepted_anew'), ('cancelled'), ('coordinated'), ('coordinating'), ('coordination_put_off'), ('finished'),
    ('lease_released'), ('progressed'), ('resolved'), ('retried');

-- A position is drawn under the lock of the job's row, so the events of a job have it in the order of their numbers.
-- Events from before this migration have none, and come before all that have one.
CREATE SEQUENCE event_positions AS bigint CACHE 1;

-- The first position of a transaction is announced by a shared advisory lock ("evnt"), before it is drawn: its second
-- number is the lowest 32 bits of the position that was drawn last, above which all of this transaction will be. Nobody
-- waits for such a lock, and it is gone once what the transaction wrote can be seen. The setting that remembers it is
-- undone by ROLLBACK TO SAVEPOINT, as the lock is. Such a transaction waits for the disk: else a crash might forget an event
-- that was seen, and its position be drawn again. One expression of built-in functions, so that it is inlined: in
-- PL/pgSQL it costs each transaction 10 µs (2026-11-30).
CREATE FUNCTION next_event_position() RETURNS bigint LANGUAGE sql VOLATILE
RETURN CASE
    WHEN current_setting('breakwater.event_writer', true) = pg_current_xact_id()::text
        THEN nextval('event_positions')
    WHEN pg_advisory_xact_lock_shared(
            1702260340, coalesce(pg_sequence_last_value('event_positions'), 0)::bit(32)::int
        ) IS NOT NULL
        AND set_config('breakwater.event_writer', pg_current_xact_id()::text, true) IS NOT NULL
        AND CASE current_setting('synchronous_commit')
            WHEN 'off' THEN set_config('synchronous_commit', 'on', true)
            ELSE ''
        END IS NOT NULL
        THEN nextval('event_positions')
END;

ALTER TABLE events ADD COLUMN position bigint;
ALTER TABLE events ALTER COLUMN position SET DEFAULT next_event_position();
ALTER SEQUENCE event_positions OWNED BY events.position;

-- Transactions that have drawn a position or are about to, each with one below all of its own. The lateral query reads the
-- sequence after the locks, so that it isn't behind any of them.
CREATE VIEW event_writers AS
SELECT l.pid, l.virtualtransaction, s.latest - ((s.latest - l.objid::bigint) & 4294967295) AS floor
FROM pg_locks AS l
CROSS JOIN LATERAL (
    SELECT coalesce(pg_sequence_last_value('event_positions'), l.objid::bigint) AS latest
    OFFSET 0
) AS s
WHERE l.locktype = 'advisory' AND l.classid = 1702260340 AND l.objsubid = 2 AND l.granted
    AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database());

-- The position up to which every event is committed or will never be. Only a statement that begins later may read up to it.
-- Whoever drew a position up to `drawn` announced that before: it is among the writers, or what it wrote can be seen.
CREATE FUNCTION readable_event_position() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    drawn bigint := coalesce(pg_sequence_last_value('event_positions'), 0);
BEGIN
    RETURN least(drawn, (SELECT min(w.floor) FROM event_writers AS w));
END
$$;

-- Above the job with this number, every event has a position.
DO $$
BEGIN
    EXECUTE format(
        'CREATE FUNCTION last_job_before_positions() RETURNS bigint LANGUAGE sql IMMUTABLE RETURN %s::bigint',
        (SELECT coalesce(max(j.job_no), 0) FROM jobs AS j)
    );
END
$$;

-- Functions take wide numbers and text, so that a column may be given another type while statements run that call them.

-- Write an event under the number that its job's row was just given, which the caller has locked; return the number.
CREATE FUNCTION write_event(of_job bigint, number bigint, of_type text, by_source text, with_data json) RETURNS bigint
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO events (job_no, event_no, type, at, source, data)
    SELECT of_job, number, t.type, clock_timestamp(), by_source, with_data
    FROM event_types AS t
    WHERE t.type = of_type;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no event type %', of_type
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'event_type_is_known';
    END IF;
    RETURN number;
END
$$;

-- That a job finishes once is checked for each event that says so. A condition of the trigger would keep the column's type
-- from being changed.
CREATE OR REPLACE FUNCTION refuse_second_finished_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.type = 'finished' AND (
        SELECT e.type
        FROM events AS e
        WHERE e.job_no = NEW.job_no AND e.event_no < NEW.event_no AND e.type IN ('finished', 'retried')
        ORDER BY e.event_no DESC
        LIMIT 1
    ) = 'finished' THEN
        RAISE EXCEPTION 'a second finished event of one end'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'job_finish_is_told_once';
    END IF;
    RETURN NULL;
END
$$;
DROP TRIGGER job_finish_is_told_once ON events;
CREATE TRIGGER job_finish_is_told_once AFTER INSERT ON events
FOR EACH ROW EXECUTE FUNCTION refuse_second_finished_event();

-- What is paused of a provider in a region: the one, the other, or both.
CREATE FUNCTION pauses_of(of_provider text, of_region text) RETURNS SETOF pauses LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT p.*
    FROM (VALUES ('region', of_region), ('provider', of_provider)) AS i (kind, name)
    JOIN pauses AS p ON p.kind = i.kind AND p.name = i.name
    WHERE p.is_paused;
END;

-- The virtual finish time of work of an identity (docs/decisions/0007): the smallest that is due and waits, and the cells up
-- to the end of the work; not before `follows`, where it follows other work of its job. A batch's and a job's is its `turn`.
-- All of a statement's are of the moment that it sees, whatever it offers meanwhile.
CREATE FUNCTION virtual_finish_time(of_identity bigint, cells bigint, follows bigint DEFAULT 0) RETURNS bigint
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN greatest(
        virtual_finish_time.follows,
        virtual_finish_time.cells + (
            SELECT coalesce(min(r.turn), 0)
            FROM ready AS r
            WHERE r.identity_no = virtual_finish_time.of_identity AND r.not_before <= now()
        )
    );
END
$$;

-- Let a batch be claimed from `due_at` on, with so many open cells and a virtual finish time; return whether it is so now.
-- What was said of it before is replaced, unless it `keeps_place`: then a row that is there stays as it is.
CREATE FUNCTION offer_batch(
    of_job bigint,
    batch bigint,
    cells bigint,
    turn bigint,
    lane bigint DEFAULT 0,
    due_at timestamptz DEFAULT now(),
    keeps_place boolean DEFAULT false
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ready (job_no, batch_no, provider, region, identity_no, tenant_no, lane, cells, turn, not_before)
    SELECT
        b.job_no, b.batch_no, b.provider, b.region, b.identity_no, j.tenant_no, offer_batch.lane, offer_batch.cells,
        offer_batch.turn, offer_batch.due_at
    FROM batches AS b
    JOIN jobs AS j USING (job_no)
    WHERE b.job_no = offer_batch.of_job AND b.batch_no = offer_batch.batch
    ON CONFLICT ON CONSTRAINT unique_ready_batch DO UPDATE
    SET lane = excluded.lane,
        cells = excluded.cells,
        turn = excluded.turn,
        not_before = excluded.not_before,
        queued_at = excluded.queued_at
    WHERE NOT offer_batch.keeps_place;
    RETURN FOUND;
END
$$;
