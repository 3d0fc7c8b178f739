-- List the audit log, newest first: entries below the number $1 and submissions below $2 as one list of $9 at most.
-- It is narrowed to a key ($3), a tenant ($4), an action ($5), an outcome ($6), and times from $7 and before $8;
-- NULL for any. Each source is read in the order of its numbers, which isn't quite that of its times: `placed_at` never
-- rises from one number to the next lower one, so that two numbers say what was shown. Plan it for its values: an index
-- finds the time, the action, the tenant or the key, if one is given.
WITH entries AS (
    SELECT e.entry_no AS number, false AS is_submission, e.at, t.name AS tenant, e.key_id, e.client, e.account,
        e.action, e.target::text AS target, e.outcome, e.status_code, e.code, e.request_id, e.session_id
    FROM audit_entries AS e
    LEFT JOIN tenants AS t ON t.tenant_no = e.tenant_no
    WHERE e.entry_no < $1
        AND ($3::text IS NULL OR e.key_id = $3)
        AND ($4::int IS NULL OR e.tenant_no = $4)
        AND ($5::text IS NULL OR e.action = $5)
        AND ($6::text IS NULL OR e.outcome = $6)
        AND ($7::timestamptz IS NULL OR e.at >= $7)
        AND ($8::timestamptz IS NULL OR e.at < $8)
    ORDER BY e.entry_no DESC
    LIMIT $9
), posts AS (
    SELECT s.submission_no, s.tenant_no, s.job_no, s.submitted_by, s.client, s.submitted_at, s.status_code,
        s.request_id, s.session_id,
        CASE s.outcome WHEN 'rejected' THEN 'refused' WHEN 'replayed' THEN 'replayed' ELSE 'done' END AS outcome,
        CASE s.outcome WHEN 'rejected' THEN s.reason END AS code
    FROM submissions AS s
    WHERE s.submission_no < $2
        AND ($3::text IS NULL OR s.submitted_by = 'key:' || $3)
        AND ($4::int IS NULL OR s.tenant_no = $4)
        AND ($7::timestamptz IS NULL OR s.submitted_at >= $7)
        AND ($8::timestamptz IS NULL OR s.submitted_at < $8)
        AND ($5::text IS NULL OR $5 = 'POST /jobs')
), posted AS (
    SELECT p.submission_no AS number, true AS is_submission, p.submitted_at AS at, t.name AS tenant,
        CASE WHEN starts_with(p.submitted_by, 'key:') THEN substr(p.submitted_by, 5) END AS key_id, p.client,
        CASE WHEN NOT starts_with(p.submitted_by, 'key:') THEN p.submitted_by END AS account, 'POST /jobs' AS action,
        CASE WHEN j.id IS NULL THEN '{}' ELSE json_build_object('job_id', j.id)::text END AS target,
        p.outcome, p.status_code, p.code, p.request_id, p.session_id
    FROM posts AS p
    JOIN tenants AS t ON t.tenant_no = p.tenant_no
    LEFT JOIN jobs AS j ON j.job_no = p.job_no
    WHERE ($6::text IS NULL OR p.outcome = $6)
    ORDER BY p.submission_no DESC
    LIMIT $9
), placed AS (
    SELECT e.*, min(e.at) OVER (ORDER BY e.number DESC) AS placed_at FROM entries AS e
    UNION ALL
    SELECT p.*, min(p.at) OVER (ORDER BY p.number DESC) AS placed_at FROM posted AS p
)
SELECT number, is_submission, at, tenant, key_id, client, account, action, target, outcome, status_code, code,
    request_id, session_id
FROM placed
ORDER BY placed_at DESC, is_submission, number DESC
LIMIT $9
