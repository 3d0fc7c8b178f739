-- How an answer ended, which model gave it, and all that it said.

-- `finish_reason` is the provider's word, `is_complete` what it means: NULL where nobody said, or before this was asked.
ALTER TABLE executions
    ADD COLUMN finish_reason text,
    ADD COLUMN is_complete boolean,
    ADD COLUMN model_used text;

-- Cells whose answer was cut, filtered or refused; the audit recounts them.
ALTER TABLE jobs
    ADD COLUMN incomplete int NOT NULL DEFAULT 0;

-- The whole JSON of each try's answer, as it came or shortened; `bytes` is what came. Kept apart from executions, so
-- that lists and results don't carry it. No foreign key per row, as in executions; a try is told by its own row or the
-- cell's, and is written in the transaction that writes this.
CREATE TABLE responses (
    job_no bigint NOT NULL,
    region_no smallint NOT NULL,
    model_no smallint NOT NULL,
    question_no smallint NOT NULL,
    attempt_no smallint NOT NULL,
    bytes int NOT NULL,
    body json NOT NULL,
    CONSTRAINT unique_response_per_attempt PRIMARY KEY (job_no, region_no, model_no, question_no, attempt_no)
);
