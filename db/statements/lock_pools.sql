-- Lock the pools ($2 providers, $3 regions) in which work of an identity ($1) that this worker serves is due, or in
-- which a batch that it holds could make more calls ($4, $5), and return their limits; nothing unless configuration $6
-- is in force. Pools that are paused or whose circuit breaker is open are passed over; a pool whose circuit breaker may
-- close has room for one call, the probe. The next statement checks whether it is being probed: this statement's
-- snapshot is older than the lock.
SELECT p.provider, p.region, p.max_concurrent, p.gate_code IS NOT NULL AS is_probed
FROM (
    SELECT g.provider, g.region, array_agg(g.identity_no) AS identity_nos
    FROM unnest($1::int[], $2::text[], $3::text[]) AS g (identity_no, provider, region)
    GROUP BY g.provider, g.region
) AS i
JOIN pools AS p USING (provider, region)
WHERE $6::int = (SELECT max(c.configuration_no) FROM configurations AS c)
    AND (p.gate_until IS NULL OR p.gate_until <= now())
    AND (
        EXISTS (
            SELECT
            FROM ready AS r
            WHERE r.identity_no = ANY (i.identity_nos) AND r.provider = p.provider AND r.region = p.region
                AND r.not_before <= now()
        )
        OR EXISTS (
            SELECT
            FROM unnest($4::text[], $5::text[]) AS w (provider, region)
            WHERE w.provider = p.provider AND w.region = p.region
        )
    )
    AND NOT EXISTS (SELECT FROM pauses_of(p.provider, p.region))
ORDER BY p.provider, p.region
FOR NO KEY UPDATE OF p
