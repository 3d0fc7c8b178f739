-- Count the calls that may be in flight in these pools: the permits of their batches. Permits of an expired lease
-- count, too, until another worker takes the batch over: the holder may be alive and renew it. A probe counts only
-- under a valid lease. Calls in flight to a former address take no permits of the address that is configured now.
SELECT
    i.provider, i.region, coalesce(sum(b.slots), 0)::int AS permits,
    count(*) FILTER (WHERE b.lease_until < now()) > 0 AS has_expired,
    count(*) FILTER (WHERE b.is_probe AND b.lease_until >= now()) > 0 AS is_being_probed
FROM unnest($1::text[], $2::text[]) AS i (provider, region)
LEFT JOIN batches AS b ON b.provider = i.provider AND b.region = i.region AND b.slots > 0
    AND coalesce(b.identity_no = ANY (current_identities()), true)
GROUP BY i.provider, i.region
