-- A duty of which one worker at a time is the leader. A new leader's fence is one higher than the one before.
CREATE TABLE leaders (
    duty text NOT NULL,
    worker_no int NOT NULL,
    fence bigint NOT NULL,
    lease_until timestamptz NOT NULL,
    worked_at timestamptz NOT NULL,
    CONSTRAINT unique_leader PRIMARY KEY (duty),
    CONSTRAINT leader_has_a_fence CHECK (fence > 0)
) WITH (fillfactor = 50);
