INSERT INTO event_types (type) VALUES ('submitted');

-- Write events, one of each place of the arrays, under numbers that their jobs' rows were just given, which the caller has
-- locked; return how many. Several may be one job's: their positions are drawn in the order of the arrays, as their numbers are.
CREATE OR REPLACE FUNCTION write_events(
    of_jobs bigint[], numbers bigint[], of_types text[], by_sources text[], with_data json[]
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    written bigint;
BEGIN
    INSERT INTO events (job_no, event_no, type, at, source, data)
    SELECT e.job_no, e.event_no, t.type, clock_timestamp(), e.source, e.data
    FROM unnest(of_jobs, numbers, of_types, by_sources, with_data) WITH ORDINALITY
        AS e (job_no, event_no, type, source, data, place)
    JOIN event_types AS t USING (type)
    ORDER BY e.place;
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

-- Events that are committed, and get a number of their job once its row is free: a submission waits for no lock.
CREATE TABLE late_events (
    late_event_no bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT late_events_key PRIMARY KEY,
    job_no bigint NOT NULL,
    type text NOT NULL,
    source text NOT NULL,
    data json NOT NULL
);

SELECT protect_rows_of_tenants();
