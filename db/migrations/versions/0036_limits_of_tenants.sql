-- The limits of a tenant over all its keys, access tokens and sessions; NULL is no limit.
ALTER TABLE tenants
    ADD COLUMN requests_per_second int CONSTRAINT requests_per_second_are_positive CHECK (requests_per_second > 0),
    ADD COLUMN active_jobs int CONSTRAINT active_jobs_are_positive CHECK (active_jobs > 0),
    ADD COLUMN cells_per_day int CONSTRAINT cells_per_day_are_positive CHECK (cells_per_day > 0);

-- What a tenant with quotas has used; whoever counts on it locks its row. `cells` are those of `day`, which is UTC's.
CREATE TABLE tenant_usage (
    tenant_no int NOT NULL CONSTRAINT tenant_usage_key PRIMARY KEY
        CONSTRAINT usage_belongs_to_tenant REFERENCES tenants ON DELETE CASCADE,
    day date NOT NULL,
    cells bigint NOT NULL CONSTRAINT used_cells_are_counted CHECK (cells >= 0)
);

-- A tenant's bucket of requests, as `key_requests` has those of keys.
CREATE UNLOGGED TABLE tenant_requests (
    tenant_no int NOT NULL CONSTRAINT tenant_requests_key PRIMARY KEY
        CONSTRAINT requests_belong_to_tenant REFERENCES tenants ON DELETE CASCADE,
    spent_until timestamptz NOT NULL,
    taken int NOT NULL
);

SELECT protect_rows_of_tenants();
