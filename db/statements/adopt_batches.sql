-- Give the batches of jobs ($1), which were just accepted under the first configuration, their identities.
WITH wanted AS (
    SELECT
        b.job_no, b.batch_no,
        CASE
            WHEN t.source IS NULL THEN 'provider'
            WHEN t.source ->> 'path' IS NOT NULL THEN 'import_root'
            ELSE 'connection'
        END AS kind,
        CASE WHEN t.source IS NULL THEN b.provider ELSE coalesce(t.source ->> 'connection', '') END AS name,
        CASE WHEN t.source IS NULL THEN b.region ELSE '' END AS region
    FROM batches AS b
    LEFT JOIN import_batches AS i USING (job_no, batch_no)
    LEFT JOIN specs AS s ON s.job_no = i.job_no
    LEFT JOIN LATERAL (
        SELECT s.spec -> 'record_types' -> i.record_type_no::int -> 'source' AS source
    ) AS t ON i.job_no IS NOT NULL
    WHERE b.job_no = ANY ($1::bigint[]) AND b.identity_no IS NULL
), adopted AS (
    UPDATE batches AS b
    SET identity_no = k.identity_no
    FROM wanted AS w
    JOIN jobs AS j USING (job_no)
    JOIN identities AS k
        ON k.identity_no = ANY (j.identity_nos) AND k.kind = w.kind AND k.name = w.name AND k.region = w.region
    WHERE b.job_no = w.job_no AND b.batch_no = w.batch_no
    RETURNING b.job_no, b.batch_no, b.identity_no
)
UPDATE ready AS r
SET identity_no = a.identity_no
FROM adopted AS a
WHERE r.job_no = a.job_no AND r.batch_no = a.batch_no
