-- Let a tenant's ($1) dry runs expire that no action has followed, but for the newest $2.
UPDATE bulk_actions AS b
SET expires_at = now()
WHERE b.tenant_no = $1 AND b.operation_no IS NULL AND b.expires_at > now()
    AND b.bulk_no <= (
        SELECT o.bulk_no
        FROM bulk_actions AS o
        WHERE o.tenant_no = $1 AND o.operation_no IS NULL AND o.expires_at > now()
        ORDER BY o.bulk_no DESC
        OFFSET $2
        LIMIT 1
    )
