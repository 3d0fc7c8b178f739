-- Find the holds of each provider and region with open work of a job: those of its open batches ($1), or, before it is
-- planned, those of its spec ($2 providers, $3 regions).
SELECT
    open.provider, open.region,
    in_region.changed_at AS region_paused_at, in_region.changed_by AS region_paused_by,
    in_region.reason AS region_reason,
    of_provider.changed_at AS provider_paused_at, of_provider.changed_by AS provider_paused_by,
    of_provider.reason AS provider_reason,
    p.gate_closed_at, p.gate_until, p.gate_code
FROM (
    SELECT DISTINCT b.provider, b.region
    FROM batches AS b
    WHERE b.job_no = $1 AND b.finished_at IS NULL
    UNION
    SELECT i.provider, i.region
    FROM unnest($2::text[], $3::text[]) AS i (provider, region)
) AS open
LEFT JOIN LATERAL pauses_of(open.provider, open.region) AS in_region ON in_region.kind = 'region'
LEFT JOIN LATERAL pauses_of(open.provider, open.region) AS of_provider ON of_provider.kind = 'provider'
LEFT JOIN pools AS p ON p.provider = open.provider AND p.region = open.region AND p.gate_until > now()
ORDER BY open.provider, open.region
