-- Return in how many seconds something becomes due that wasn't when the queue was looked at ($1): a waiting batch, a
-- circuit breaker that may be probed, a batch that fails because it waited too long. NULL where nothing waits for its
-- time.
SELECT extract(EPOCH FROM least(
    (SELECT min(r.not_before) FROM ready AS r WHERE r.not_before > coalesce($1::timestamptz, now())),
    (SELECT min(p.gate_until) FROM pools AS p WHERE p.gate_until > coalesce($1::timestamptz, now())),
    (SELECT min(b.overdue_at) FROM batches AS b WHERE b.overdue_at IS NOT NULL AND b.status = 'pending')
) - now())::float8
