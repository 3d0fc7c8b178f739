-- Record triggers that joined existing waves.
INSERT INTO triggers (job_no, source, outcome, worker_no, finished_at)
SELECT i.job_no, i.source, 'joined', $3::int, now()
FROM unnest($1::bigint[], $2::text[]) AS i (job_no, source)
