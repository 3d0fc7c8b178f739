-- Fence off the coordinators of other imports with a record type of import $1 whose lease ran out: their survey is
-- older than this import's. Workers take those imports over as usual.
UPDATE imports AS i
SET fence = i.fence + 1
WHERE i.holder IS NOT NULL AND i.lease_until < now() AND i.job_no <> $1
    AND EXISTS (
        SELECT
        FROM import_sources($1) AS own_types
        JOIN import_sources(i.job_no) AS other USING (tenant_no, dataset, record_type)
    )
