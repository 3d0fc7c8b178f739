-- Create the temporary table in which this connection stages rows.
CREATE TEMP TABLE staged_records (
    record_set_no int NOT NULL,
    record_key text COLLATE "C" NOT NULL,
    payload text NOT NULL,
    job_no bigint NOT NULL,
    batch_no int NOT NULL,
    generation int NOT NULL
) ON COMMIT DELETE ROWS
