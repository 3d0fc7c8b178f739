-- A row of each of two tenants in every table of tenants' rows: job 1001 is of the tenant 1, job 1002 of the tenant 2.
INSERT INTO tenants (tenant_no, name) VALUES (2, 'acme');
INSERT INTO api_keys (key_no, id, tenant_no, name, scopes, created_by) OVERRIDING SYSTEM VALUE
SELECT 1000 + t, 'key' || t, t, 'a key', '{jobs:read}', 'a test'
FROM generate_series(1, 2) AS t;
INSERT INTO api_key_secrets (digest, key_no) SELECT ('\x0' || t)::bytea, 1000 + t FROM generate_series(1, 2) AS t;
INSERT INTO page_sessions (digest, id, tenant_no, secret_digest, expires_at)
SELECT ('\x0' || t)::bytea, 'session-' || t, t, ('\x0' || t)::bytea, now()
FROM generate_series(1, 2) AS t;
INSERT INTO key_usage (key_no, day, cells) SELECT 1000 + t, now(), 1 FROM generate_series(1, 2) AS t;
INSERT INTO tenant_usage (tenant_no, day, cells) SELECT t, now(), 1 FROM generate_series(1, 2) AS t;
INSERT INTO key_requests (key_no, spent_until, taken) SELECT 1000 + t, now(), 1 FROM generate_series(1, 2) AS t;
INSERT INTO tenant_requests (tenant_no, spent_until, taken) SELECT t, now(), 1 FROM generate_series(1, 2) AS t;
INSERT INTO active_jobs (job_no, key_no) SELECT 1000 + t, 1000 + t FROM generate_series(1, 2) AS t;
INSERT INTO jobs (job_no, tenant_no, id, kind, name, spec_hash, turn, planned, min_success_rate)
SELECT 1000 + t, t, 'job-' || t, 'inference', 'a job', 'hash', 1, 1, 1
FROM generate_series(1, 2) AS t;
INSERT INTO specs (job_no, tenant_no, name, spec_hash, model_ids, region_ids, question_ids, pairs)
SELECT 1000 + t, t, 'a job', 'hash', '{m}', '{us-east}', '{q}', '{0}'
FROM generate_series(1, 2) AS t;
INSERT INTO idempotency_keys (tenant_no, key, body_hash, job_no, status_code, answer)
SELECT t, 'key-' || t, 'hash', 1000 + t, 202, '{}'
FROM generate_series(1, 2) AS t;
INSERT INTO submissions (tenant_no, job_no, outcome, reason, status_code, request_id)
SELECT t, 1000 + t, 'created', 'new', 202, 'request-' || t
FROM generate_series(1, 2) AS t;
INSERT INTO triggers (job_no, source) SELECT 1000 + t, 'initial' FROM generate_series(1, 2) AS t;
INSERT INTO waves (job_no, wave_no, level, status, total_batches, open_batches)
SELECT 1000 + t, 1, 1, 'pending', 1, 1
FROM generate_series(1, 2) AS t;
INSERT INTO batches (
    job_no, batch_no, wave_no, provider, region, region_no, first_model_no, first_question_no, last_model_no,
    last_question_no, cells, open_cells, status, identity_no
)
SELECT 1000 + t, 1, 1, 'echo', 'us-east', 0, 0, 0, 0, 0, 1, 1, 'pending', 1
FROM generate_series(1, 2) AS t;
INSERT INTO ready (job_no, batch_no, provider, region, identity_no, tenant_no, cells, turn)
SELECT 1000 + t, 1, 'echo', 'us-east', 1, t, 1, 10 * t
FROM generate_series(1, 2) AS t;
INSERT INTO executions (job_no, region_no, model_no, question_no, batch_no, status)
SELECT 1000 + t, 0, 0, 0, 1, 'planned'
FROM generate_series(1, 2) AS t;
INSERT INTO attempts (
    job_no, region_no, model_no, question_no, attempt_no, started_at, finished_at, provider_used, error_code,
    error_detail
)
SELECT 1000 + t, 0, 0, 0, 1, now(), now(), 'echo', 'busy', 'Busy.'
FROM generate_series(1, 2) AS t;
INSERT INTO responses (job_no, region_no, model_no, question_no, attempt_no, bytes, body)
SELECT 1000 + t, 0, 0, 0, 1, 2, '{}'
FROM generate_series(1, 2) AS t;
INSERT INTO dead_letters (tenant_no, job_no, region_no, model_no, question_no, attempts, error_code, error_detail)
SELECT t, 1000 + t, 0, 0, 0, 1, 'busy', 'Busy.'
FROM generate_series(1, 2) AS t;
INSERT INTO job_limits (job_no, max_concurrent) SELECT 1000 + t, 1 FROM generate_series(1, 2) AS t;
INSERT INTO record_sets (tenant_no, dataset, record_type, key)
SELECT t, 'erp-' || t, 'customer', '{id}'
FROM generate_series(1, 2) AS t;
INSERT INTO imports (job_no, fence) SELECT 1000 + t, 1 FROM generate_series(1, 2) AS t;
INSERT INTO record_types (job_no, record_type_no, id, record_set_no, level, rows_expected, is_complete)
SELECT 1000 + s.tenant_no, 1, 'customer', s.record_set_no, 1, 1, true
FROM record_sets AS s;
INSERT INTO import_batches (job_no, batch_no, record_type_no, record_batch_no, range, rows_expected)
SELECT 1000 + t, 1, 1, 1, '{}', 1
FROM generate_series(1, 2) AS t;
INSERT INTO imported_records (record_set_no, record_key, payload, job_no, batch_no)
SELECT s.record_set_no, 'row-' || s.tenant_no, '{}', 1000 + s.tenant_no, 1
FROM record_sets AS s;
INSERT INTO rejects (job_no, batch_no, position, code, detail)
SELECT 1000 + t, 1, 0, 'key_missing', 'It has no key.'
FROM generate_series(1, 2) AS t;
SELECT write_event(1000 + t, 1, 'progressed', 'a test', '{}') FROM generate_series(1, 2) AS t;
INSERT INTO audit_entries (at, tenant_no, action, target, outcome)
SELECT now(), t, 'keys create', '{}', 'done'
FROM generate_series(1, 2) AS t;
INSERT INTO tenant_turns (queue, tenant_no, last_start, last_finish)
SELECT 'inference', t, 0, 1
FROM generate_series(1, 2) AS t;
INSERT INTO late_events (job_no, type, source, data)
SELECT 1000 + t, 'submitted', 'a test', '{}'
FROM generate_series(1, 2) AS t;
INSERT INTO bulk_actions (tenant_no, as_of, action, filter, matched)
SELECT t, 'as-of-' || t, 'cancel_jobs', 'name=a', 1
FROM generate_series(1, 2) AS t;
INSERT INTO bulk_items (bulk_no, number, tenant_no)
SELECT b.bulk_no, 1000 + b.tenant_no, b.tenant_no
FROM bulk_actions AS b;
INSERT INTO job_holds (job_no, reason, provider, region, since)
SELECT 1000 + t, 'region_paused', '', 'us-east', now()
FROM generate_series(1, 2) AS t;
