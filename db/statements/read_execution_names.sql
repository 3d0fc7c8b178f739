-- Read the names of a job's models, regions and questions by their numbers, and the provider of each model. $1 is the
-- tenant. There are no providers once the spec is purged.
SELECT
    j.job_no, j.id AS job_id, s.model_ids, s.region_ids, s.question_ids,
    ARRAY(
        SELECT model.value ->> 'provider'
        FROM json_array_elements(s.spec -> 'models') WITH ORDINALITY AS model (value, n)
        ORDER BY model.n
    ) AS providers
FROM jobs AS j
JOIN specs AS s USING (job_no)
WHERE j.tenant_no = $1 AND j.job_no = $2
