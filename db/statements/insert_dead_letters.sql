-- Enter cells that this transaction ended because their tries are used up.
INSERT INTO dead_letters (tenant_no, job_no, region_no, model_no, question_no, attempts, error_code, error_detail)
SELECT j.tenant_no, e.job_no, e.region_no, e.model_no, e.question_no, e.attempts, i.error_code, i.error_detail
FROM unnest($1::bigint[], $2::smallint[], $3::smallint[], $4::smallint[], $5::text[], $6::text[])
    AS i (job_no, region_no, model_no, question_no, error_code, error_detail)
JOIN executions AS e USING (job_no, region_no, model_no, question_no)
JOIN jobs AS j USING (job_no)
ON CONFLICT (job_no, region_no, model_no, question_no) WHERE replayed_at IS NULL DO NOTHING
