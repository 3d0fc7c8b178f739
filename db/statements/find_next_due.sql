-- Return in how many seconds the next work becomes due that wasn't due at the last look ($1): a waiting batch, the
-- probe of a circuit breaker, a batch that exceeds its queue timeout. NULL if there is none.
SELECT extract(EPOCH FROM least(
    (SELECT min(r.not_before) FROM ready AS r WHERE r.not_before > coalesce($1::timestamptz, now())),
    (SELECT min(p.gate_until) FROM pools AS p WHERE p.gate_until > coalesce($1::timestamptz, now())),
    (SELECT min(b.overdue_at) FROM batches AS b WHERE b.overdue_at IS NOT NULL AND b.status = 'pending')
) - now())::float8
