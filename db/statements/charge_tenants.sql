-- Charge tenants ($2) with the units ($4) that this transaction took of their work in queues that they share ($1), from
-- the virtual times on ($3) at which it was their turn. Rows are locked in one order, until this transaction ends.
INSERT INTO tenant_turns (queue, tenant_no, last_start, last_finish)
SELECT c.queue, c.tenant_no, c.starts_at, c.starts_at + c.units
FROM unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[]) AS c (queue, tenant_no, starts_at, units)
ORDER BY c.queue, c.tenant_no
ON CONFLICT ON CONSTRAINT tenant_turns_key DO UPDATE
SET last_start = greatest(tenant_turns.last_start, excluded.last_start),
    last_finish = greatest(tenant_turns.last_finish, excluded.last_start)
        + excluded.last_finish - excluded.last_start
