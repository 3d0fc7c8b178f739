-- Events that one statement writes for many jobs are written by one INSERT and checked as a set: a call per event took about
-- 20 µs, a half of a flush of one-cell jobs (2026-11-30).

-- Write events, one of each place of the arrays, under numbers that their jobs' rows were just given, which the caller has
-- locked; return how many.
CREATE FUNCTION write_events(
    of_jobs bigint[], numbers bigint[], of_types text[], by_sources text[], with_data json[]
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    written bigint;
BEGIN
    INSERT INTO events (job_no, event_no, type, at, source, data)
    SELECT e.job_no, e.event_no, t.type, clock_timestamp(), e.source, e.data
    FROM unnest(of_jobs, numbers, of_types, by_sources, with_data) AS e (job_no, event_no, type, source, data)
    JOIN event_types AS t USING (type);
    GET DIAGNOSTICS written = ROW_COUNT;
    IF written < cardinality(of_jobs) THEN
        RAISE EXCEPTION 'there is no event type %', (
            SELECT string_agg(DISTINCT e.type, ', ')
            FROM unnest(of_types) AS e (type)
            WHERE NOT EXISTS (SELECT FROM event_types AS t WHERE t.type = e.type)
        )
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'event_type_is_known';
    END IF;
    RETURN written;
END
$$;

-- Write an event; return its number.
CREATE OR REPLACE FUNCTION write_event(of_job bigint, number bigint, of_type text, by_source text, with_data json)
RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    PERFORM write_events(ARRAY[of_job], ARRAY[number], ARRAY[of_type], ARRAY[by_source], ARRAY[with_data]);
    RETURN number;
END
$$;

-- That a job finishes once is checked of a statement's events together, by the end before each, or the retry that opened the
-- job again. A condition of the trigger would keep the column's type from being changed.
CREATE OR REPLACE FUNCTION refuse_second_finished_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT
        FROM inserted AS i
        CROSS JOIN LATERAL (
            SELECT e.type
            FROM events AS e
            WHERE e.job_no = i.job_no AND e.event_no < i.event_no AND e.type IN ('finished', 'retried')
            ORDER BY e.event_no DESC
            LIMIT 1
        ) AS before
        WHERE i.type = 'finished' AND before.type = 'finished'
    ) THEN
        RAISE EXCEPTION 'a second finished event of one end'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'job_finish_is_told_once';
    END IF;
    RETURN NULL;
END
$$;
DROP TRIGGER job_finish_is_told_once ON events;
CREATE TRIGGER job_finish_is_told_once AFTER INSERT ON events
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION refuse_second_finished_event();

-- The virtual time of the queue of a kind (docs/decisions/0007): the smallest virtual finish time of its queued jobs, 0 where it is
-- empty. A job whose coordination waits for its source doesn't hold up virtual time; neither does a job that is held because it
-- was accepted under what isn't configured any more. The index is walked from its start, whatever the statistics say: a plan
-- that sorts reads the whole queue for each group of submissions.
CREATE FUNCTION queue_virtual_time(of_kind text) RETURNS bigint LANGUAGE plpgsql STABLE
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
BEGIN
    RETURN coalesce(
        (
            SELECT q.turn
            FROM jobs AS q
            WHERE q.status = 'queued' AND q.kind = of_kind AND q.identity_nos <@ (SELECT current_identities())
                AND NOT EXISTS (SELECT FROM imports AS i WHERE i.job_no = q.job_no AND i.not_before > now())
            ORDER BY q.turn
            LIMIT 1
        ),
        0
    );
END
$$;
