-- Make the table, private to this connection, in which rows wait for the rest of their transaction.
CREATE TEMP TABLE staged_records (
    record_set_no int NOT NULL,
    record_key text COLLATE "C" NOT NULL,
    payload text NOT NULL,
    job_no bigint NOT NULL,
    batch_no int NOT NULL,
    generation int NOT NULL
) ON COMMIT DELETE ROWS
