-- Find the batches that are due, of the identities ($1) that this worker serves in pools ($2 providers, $3 regions)
-- under configuration $4, up to $5 batches of each; nothing if another configuration is in force. First those of the
-- tenant whose turn it is, by virtual finish time, then those of the next one ($10 has the tenants of each identity in
-- turn): the outer LIMIT stops at $5, so batches of later tenants aren't locked. Paused work is passed over. One row
-- has the number of removed ready rows; without a batch its other columns are null. Locks ready and batch rows only,
-- passing over locked ones. A ready row whose batch can't be claimed is dropped; a ready row whose batch is locked
-- stays. A batch whose lease ran out is found, too, unless this worker holds it ($6 are its holders) and will renew the
-- lease. Jobs ($9) on the worker's skip list are passed over. If calls are counted ($7), a job with a limit of its own
-- is passed over unless this transaction has locked its limit ($8) and it has room; a batch that is taken over brings
-- its permits. OFFSET 0 keeps the planner from counting for jobs without a limit. IS NOT DISTINCT FROM keeps it from an
-- index by pool, and so on the index with the order within an identity; identities are served one after another, in any
-- order.
WITH due AS MATERIALIZED (
    SELECT r.job_no, r.batch_no, r.identity_no, r.queued_at, r.turn, r.job_room, r.tenant_no, r.place
    FROM unnest($1::int[], $2::text[], $3::text[], $10::text[]) AS served (identity_no, provider, region, tenant_nos)
    CROSS JOIN LATERAL (
        SELECT w.*, t.tenant_no, t.place
        FROM unnest(served.tenant_nos::int[]) WITH ORDINALITY AS t (tenant_no, place)
        CROSS JOIN LATERAL (
            SELECT w.job_no, w.batch_no, w.identity_no, w.provider, w.region, w.turn, w.queued_at,
                l.max_concurrent - used.slots AS job_room
            FROM ready AS w
            LEFT JOIN job_limits AS l ON $7::boolean AND l.job_no = w.job_no
            LEFT JOIN LATERAL (
                SELECT coalesce(sum(b.slots), 0)::int AS slots
                FROM batches AS b
                WHERE b.job_no = l.job_no AND b.slots > 0
                OFFSET 0
            ) AS used ON l.job_no IS NOT NULL
            WHERE w.identity_no = served.identity_no AND w.tenant_no = t.tenant_no
                AND w.provider IS NOT DISTINCT FROM served.provider AND w.region IS NOT DISTINCT FROM served.region
                AND w.not_before <= now()
                AND w.job_no <> ALL ($9::bigint[])
                AND (
                    l.job_no IS NULL
                    OR (
                        l.job_no = ANY ($8::bigint[])
                        AND (
                            used.slots < l.max_concurrent
                            OR EXISTS (
                                SELECT
                                FROM batches AS b
                                WHERE b.job_no = w.job_no AND b.batch_no = w.batch_no AND b.slots > 0
                            )
                        )
                    )
                )
            ORDER BY w.turn, w.job_no, w.batch_no
            LIMIT $5
            FOR NO KEY UPDATE OF w SKIP LOCKED
        ) AS w
        LIMIT $5
    ) AS r
    WHERE $4::int = (SELECT max(c.configuration_no) FROM configurations AS c)
        AND NOT EXISTS (SELECT FROM pauses_of(r.provider, r.region))
), claimable AS MATERIALIZED (
    SELECT
        b.job_no, b.batch_no, b.provider, b.region, d.identity_no, b.open_cells, b.slots, d.queued_at, d.turn,
        d.job_room, d.tenant_no, d.place
    FROM due AS d
    JOIN batches AS b USING (job_no, batch_no)
    WHERE b.status = 'pending' OR (b.status = 'running' AND b.lease_until < now() AND b.holder <> ALL ($6::bigint[]))
    ORDER BY b.job_no, b.batch_no
    FOR NO KEY UPDATE OF b SKIP LOCKED
), cleared AS (
    DELETE FROM ready AS r
    USING due AS d
    JOIN batches AS b USING (job_no, batch_no)
    LEFT JOIN claimable AS c USING (job_no, batch_no)
    WHERE r.job_no = d.job_no AND r.batch_no = d.batch_no AND c.job_no IS NULL
        AND NOT (
            b.status = 'pending'
            OR (b.status = 'running' AND b.lease_until < now() AND b.holder <> ALL ($6::bigint[]))
        )
    RETURNING 1
)
SELECT
    c.job_no, c.batch_no, c.provider, c.region, c.open_cells, c.slots AS permits, c.queued_at, c.job_room,
    c.identity_no, c.tenant_no,
    now() AS looked_at, (SELECT count(*) FROM cleared) AS cleared,
    (SELECT max(f.configuration_no) FROM configurations AS f) AS configuration_no
FROM (SELECT) AS always
LEFT JOIN claimable AS c ON true
ORDER BY
    row_number() OVER (PARTITION BY c.identity_no ORDER BY c.place, c.turn, c.job_no, c.batch_no),
    CASE WHEN cardinality($1::int[]) > 1 THEN random() END
