-- Count the calls that may be in flight in these pools: the slots of their batches under leases that hold.
SELECT i.provider, i.region, coalesce(sum(b.slots), 0)::int AS slots
FROM unnest($1::text[], $2::text[]) AS i (provider, region)
LEFT JOIN batches AS b
    ON b.provider = i.provider AND b.region = i.region AND b.slots > 0 AND b.lease_until >= now()
GROUP BY i.provider, i.region
