-- Enter new identities, and return the number of each. The caller holds the configuration's lock.
WITH wanted AS MATERIALIZED (
    SELECT i.*
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::boolean[], $7::text[])
        AS i (kind, name, region, content, digest, is_simulated, tenant)
), inserted AS (
    INSERT INTO identities (kind, name, region, content, digest, is_simulated, tenant)
    SELECT w.kind, w.name, w.region, w.content, w.digest, w.is_simulated, w.tenant
    FROM wanted AS w
    ON CONFLICT ON CONSTRAINT unique_identity DO NOTHING
    RETURNING identity_no
)
SELECT n.identity_no
FROM inserted AS n
UNION ALL
SELECT i.identity_no
FROM identities AS i
JOIN wanted AS w USING (kind, name, region, digest)
