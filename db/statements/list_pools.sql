-- List the pools that have a limit, an open circuit breaker, or calls in flight, which are the permits of valid leases.
SELECT
    provider, region, p.max_concurrent, p.gate_code, p.gate_detail, p.gate_until, p.gate_times,
    coalesce(l.in_flight, 0) AS in_flight
FROM pools AS p
FULL JOIN (
    SELECT b.provider, b.region, sum(b.slots)::int AS in_flight
    FROM batches AS b
    WHERE b.slots > 0 AND b.lease_until > now()
    GROUP BY b.provider, b.region
) AS l USING (provider, region)
