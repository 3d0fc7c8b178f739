-- A dry run of an action over a filter, and the action that followed it (docs/decisions/0053). Once it has begun it has a number
-- among the operations, and its row is kept; `expires_at` is NULL once its items are gone.
CREATE TABLE bulk_actions (
    bulk_no bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT bulk_actions_key PRIMARY KEY,
    tenant_no int NOT NULL CONSTRAINT bulk_action_belongs_to_tenant REFERENCES tenants,
    as_of text NOT NULL CONSTRAINT unique_bulk_action_as_of UNIQUE,
    action text NOT NULL CONSTRAINT bulk_action_is_known
        CHECK (action IN ('cancel_jobs', 'retry_jobs', 'replay_dead_letters')),
    filter text NOT NULL,
    matched int NOT NULL,
    done int NOT NULL DEFAULT 0,
    skipped int NOT NULL DEFAULT 0,
    expires_at timestamptz,
    operation_no bigint CONSTRAINT unique_bulk_action_operation UNIQUE,
    at timestamptz,
    by text,
    reason text,
    CONSTRAINT bulk_action_takes_each_item_once CHECK (done >= 0 AND skipped >= 0 AND done + skipped <= matched),
    CONSTRAINT bulk_action_that_began_has_an_actor CHECK (num_nonnulls(operation_no, at, by) IN (0, 3))
);
CREATE INDEX bulk_actions_by_expiry ON bulk_actions (expires_at);

-- The key of a job or of a dead letter that the dry run matched; `outcome` is `done`, or why it was skipped.
CREATE TABLE bulk_items (
    bulk_no bigint NOT NULL CONSTRAINT bulk_item_belongs_to_action REFERENCES bulk_actions ON DELETE CASCADE,
    number bigint NOT NULL,
    tenant_no int NOT NULL,
    outcome text,
    CONSTRAINT bulk_items_key PRIMARY KEY (bulk_no, number)
);

SELECT protect_rows_of_tenants();
