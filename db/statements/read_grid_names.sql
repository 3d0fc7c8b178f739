-- Read what a job's cells are numbered by: its models, regions, and the questions from $3 on, at most $4 of them. Its
-- pairs are model_no * 256 + region_no. $1 is the tenant, $2 the client's id.
SELECT
    j.job_no, j.id, j.status, s.model_ids, s.region_ids, s.pairs,
    cardinality(s.question_ids) AS question_count,
    s.question_ids[$3::int + 1 : least($3::bigint + $4, cardinality(s.question_ids))::int] AS question_ids
FROM jobs AS j
JOIN specs AS s USING (job_no)
WHERE j.tenant_no = $1 AND j.id = $2
