-- Return in how many seconds the next import may be coordinated that can't be now: its lease runs out, or its next try
-- is due.
SELECT extract(EPOCH FROM min(greatest(i.lease_until, i.not_before)) - now())::float8
FROM jobs AS j
JOIN imports AS i USING (job_no)
WHERE j.kind = 'import' AND j.status IN ('queued', 'coordinating')
    AND (i.lease_until >= now() OR i.not_before > now())
