-- Insert providers' answers to tries that this transaction records. If a flush is repeated because the acknowledgement
-- of its commit was lost, they exist already.
INSERT INTO responses (job_no, region_no, model_no, question_no, attempt_no, bytes, body)
SELECT i.job_no, i.region_no, i.model_no, i.question_no, i.attempt_no, i.bytes, i.body::json
FROM unnest($1::bigint[], $2::smallint[], $3::smallint[], $4::smallint[], $5::smallint[], $6::int[], $7::text[])
    AS i (job_no, region_no, model_no, question_no, attempt_no, bytes, body)
ON CONFLICT ON CONSTRAINT unique_response_per_attempt DO NOTHING
