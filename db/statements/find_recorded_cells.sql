-- Return which of these cells are recorded already: they have a result, or had another try than the reported one ($5,
-- where the report gives it).
SELECT e.job_no, e.region_no, e.model_no, e.question_no
FROM unnest($1::bigint[], $2::smallint[], $3::smallint[], $4::smallint[], $5::int[])
    AS i (job_no, region_no, model_no, question_no, attempts_before)
JOIN executions AS e USING (job_no, region_no, model_no, question_no)
WHERE e.finished_at IS NOT NULL OR e.attempts <> i.attempts_before
