-- Give batches whose leases hold more permits; return each batch's permits.
UPDATE batches AS b
SET slots = b.slots + i.more
FROM unnest($1::bigint[], $2::int[], $3::int[], $4::bigint[], $5::int[]) AS i (job_no, batch_no, fence, holder, more)
WHERE b.job_no = i.job_no AND b.batch_no = i.batch_no AND b.fence = i.fence AND b.holder = i.holder
RETURNING b.job_no, b.batch_no, b.fence
