-- Take up to $3 requests from a tenant's ($1) bucket, which holds up to $2 and gains $2 a second. Return how many it
-- gave, and the seconds' worth that is left. A clock that was set back leaves an empty bucket, not one that is in debt.
INSERT INTO tenant_requests AS r (tenant_no, spent_until, taken)
VALUES ($1, clock_timestamp() - interval '1 second' + $3::int * interval '1 second' / $2::int, $3::int)
ON CONFLICT ON CONSTRAINT tenant_requests_key DO UPDATE
SET (spent_until, taken) = (
    SELECT b.since + b.given * interval '1 second' / $2::int, b.given
    FROM (
        SELECT s.since, least($3::int, floor(extract(EPOCH FROM s.now - s.since) * $2::int)::int) AS given
        FROM (
            SELECT least(greatest(r.spent_until, c.now - interval '1 second'), c.now) AS since, c.now
            FROM (SELECT clock_timestamp() AS now OFFSET 0) AS c
        ) AS s
    ) AS b
)
RETURNING r.taken, greatest(0, extract(EPOCH FROM clock_timestamp() - r.spent_until))::float8 AS left_seconds
