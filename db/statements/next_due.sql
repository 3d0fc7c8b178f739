-- Tell in how many seconds something becomes due that was not when the queue was looked at ($1): a waiting batch, a
-- closed gate that opens, a batch that fails for having waited too long. NULL where nothing waits for its time.
SELECT extract(EPOCH FROM least(
    (SELECT min(r.not_before) FROM ready AS r WHERE r.not_before > coalesce($1::timestamptz, now())),
    (SELECT min(p.gate_until) FROM pools AS p WHERE p.gate_until > coalesce($1::timestamptz, now())),
    (SELECT min(b.overdue_at) FROM batches AS b WHERE b.overdue_at IS NOT NULL AND b.status = 'pending')
) - now())::float8
