-- Count the open dead letters of all tenants, as they are listed.
SELECT count(*)::int
FROM dead_letters AS d
JOIN jobs AS j USING (job_no)
WHERE d.replayed_at IS NULL AND j.status <> 'cancelled'
