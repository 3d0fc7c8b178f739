-- Create the same table for this transaction only: behind a pooler the session then goes to another client.
CREATE TEMP TABLE staged_records (
    record_set_no int NOT NULL,
    record_key text COLLATE "C" NOT NULL,
    payload text NOT NULL,
    job_no bigint NOT NULL,
    batch_no int NOT NULL,
    generation int NOT NULL
) ON COMMIT DROP
