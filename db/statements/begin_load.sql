-- Tell which of these leases their holder still has, before rows are written under them. The server ends this transaction
-- if it hears nothing for $5 (as idle_in_transaction_session_timeout takes it): others may wait for the same rows.
SELECT b.job_no, b.batch_no, b.fence
FROM (SELECT set_config('idle_in_transaction_session_timeout', $5, true) OFFSET 0) AS c
CROSS JOIN unnest($1::bigint[], $2::int[], $3::int[], $4::bigint[]) AS i (job_no, batch_no, fence, holder)
JOIN batches AS b USING (job_no, batch_no)
WHERE b.fence = i.fence AND b.holder = i.holder
