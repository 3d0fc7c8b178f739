-- Return which of these cells are recorded already: they have a result, or their last try isn't the reported one ($5,
-- if reported).
SELECT e.job_no, e.region_no, e.model_no, e.question_no
FROM unnest($1::bigint[], $2::smallint[], $3::smallint[], $4::smallint[], $5::int[])
    AS i (job_no, region_no, model_no, question_no, attempts_before)
JOIN executions AS e USING (job_no, region_no, model_no, question_no)
WHERE e.finished_at IS NOT NULL OR e.attempts <> i.attempts_before
