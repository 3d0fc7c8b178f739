-- Renew the leases of the batches this worker still holds; those not returned are lost to it.
UPDATE batches AS b
SET lease_until = now() + $5::float8 * interval '1 second'
FROM unnest($1::bigint[], $2::int[], $3::int[], $4::bigint[]) AS i (job_no, batch_no, fence, holder)
WHERE b.job_no = i.job_no AND b.batch_no = i.batch_no
    AND b.fence = i.fence AND b.holder = i.holder
RETURNING b.job_no, b.batch_no, b.fence
