-- Tell which of these cells have a result already.
SELECT e.job_no, e.region_no, e.model_no, e.question_no
FROM unnest($1::bigint[], $2::smallint[], $3::smallint[], $4::smallint[])
    AS i (job_no, region_no, model_no, question_no)
JOIN executions AS e USING (job_no, region_no, model_no, question_no)
WHERE e.finished_at IS NOT NULL
