-- What has ended in all until the end of a minute, by the counters: cells that were completed, cells that ended otherwise, and
-- rows of imports. The leader samples it; the difference of two minutes is what ended between them.
CREATE TABLE throughput (
    minute timestamptz NOT NULL CONSTRAINT throughput_key PRIMARY KEY,
    completed bigint NOT NULL,
    failed bigint NOT NULL,
    imported bigint NOT NULL
);

-- A worker that is drained takes no more work until it is resumed; what it has in hand ends.
ALTER TABLE workers ADD COLUMN is_drained boolean NOT NULL DEFAULT false;

SELECT protect_rows_of_tenants();
