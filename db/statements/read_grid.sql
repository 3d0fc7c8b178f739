-- Read the states of a job's cells: a row for each region and model, a letter for each question, in their order. The
-- plan has every question for each of its pairs, and no rule lets a cell of a plan be missing. $1 is the job, $2 and $3
-- a region and a model (NULL for all), $4 and $5 the first and the last question. An open cell of a running batch is
-- running; those batches are few, and looked up once: a join took three times as long (2026-11-30, 39,600 cells).
SELECT
    e.region_no, e.model_no,
    string_agg(
        CASE e.status
            WHEN 'completed' THEN CASE WHEN e.is_complete = false THEN 'i' ELSE 'c' END
            WHEN 'failed' THEN 'f'
            WHEN 'cancelled' THEN 'x'
            WHEN 'unknown' THEN 'u'
            WHEN 'running' THEN 'r'
            ELSE CASE
                WHEN e.batch_no IN (SELECT b.batch_no FROM batches AS b WHERE b.job_no = $1 AND b.status = 'running')
                    THEN 'r'
                ELSE 'p'
            END
        END,
        '' ORDER BY e.question_no
    ) AS letters
FROM executions AS e
WHERE e.job_no = $1
    AND ($2::smallint IS NULL OR e.region_no = $2)
    AND ($3::smallint IS NULL OR e.model_no = $3)
    AND e.question_no BETWEEN $4::int AND $5::int
GROUP BY e.region_no, e.model_no
ORDER BY e.region_no, e.model_no
