-- Return which of these leases still hold.
SELECT b.job_no, b.batch_no, b.fence
FROM unnest($1::bigint[], $2::int[], $3::int[], $4::bigint[]) AS i (job_no, batch_no, fence, holder)
JOIN batches AS b USING (job_no, batch_no)
WHERE b.fence = i.fence AND b.holder = i.holder
