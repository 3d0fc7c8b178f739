-- Lock the pools ($1 providers, $2 regions) in which something is due, or has begun and could make more calls ($3, $4),
-- and tell their limits. Pools that are paused or whose gate is closed are passed over; one whose gate may open has room
-- for one call, the probe. Whether it is being probed is for the next statement: this one's snapshot is from before the lock.
SELECT p.provider, p.region, p.max_concurrent, p.gate_code IS NOT NULL AS is_probed
FROM unnest($1::text[], $2::text[]) AS i (provider, region)
JOIN pools AS p USING (provider, region)
WHERE (p.gate_until IS NULL OR p.gate_until <= now())
    AND (
        EXISTS (
            SELECT
            FROM ready AS r
            WHERE r.provider = p.provider AND r.region = p.region AND r.not_before <= now()
        )
        OR EXISTS (
            SELECT
            FROM unnest($3::text[], $4::text[]) AS w (provider, region)
            WHERE w.provider = p.provider AND w.region = p.region
        )
    )
    AND NOT EXISTS (
        SELECT
        FROM pauses AS x
        WHERE x.is_paused AND ((x.kind = 'region' AND x.name = p.region) OR (x.kind = 'provider' AND x.name = p.provider))
    )
ORDER BY p.provider, p.region
FOR NO KEY UPDATE OF p
