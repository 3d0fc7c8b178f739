-- Queue an import again, with its job and coordination locked, due in $3 seconds, with an event ($4 is its source, $5
-- its data); the event's code and detail, if any, are stored with the import. $2 tries count; $7 is whether a source
-- was unavailable, NULL if no source was asked. The holder's trigger ends as $6.
WITH waiting_job AS (
    UPDATE jobs AS j
    SET status = 'queued', last_event_no = j.last_event_no + 1
    WHERE j.job_no = $1
    RETURNING write_event(j.job_no, j.last_event_no, 'coordination_put_off', $4::text, $5::text::json)
), released_lease AS (
    UPDATE imports AS i
    SET holder = NULL,
        lease_until = NULL,
        attempts = i.attempts + $2::int,
        lost_leases = CASE WHEN $7::boolean IS NULL THEN i.lost_leases ELSE 0 END,
        away_since = CASE WHEN $7 IS NULL THEN i.away_since WHEN $7 THEN coalesce(i.away_since, now()) END,
        not_before = clock_timestamp() + $3::float8 * interval '1 second',
        error_code = coalesce($5::text::json ->> 'code', i.error_code),
        error_detail = coalesce($5::text::json ->> 'detail', i.error_detail)
    WHERE i.job_no = $1
)
UPDATE triggers AS t
SET outcome = $6::text, finished_at = clock_timestamp()
WHERE t.job_no = $1 AND t.outcome IS NULL AND t.fence IS NOT NULL
RETURNING t.source, t.outcome
