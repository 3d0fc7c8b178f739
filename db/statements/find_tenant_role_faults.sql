-- Find why requests of tenants can't run as their role ($1), or would see more than their tenant's rows: one sentence
-- each.
WITH tenant_role AS (
    SELECT r.*
    FROM pg_roles AS r
    WHERE r.rolname = $1::text
), tables AS (
    SELECT c.oid, c.relname, c.relowner, c.relrowsecurity
    FROM pg_class AS c
    WHERE c.relnamespace = (SELECT j.relnamespace FROM pg_class AS j WHERE j.oid = 'jobs'::regclass)
        AND c.relkind IN ('r', 'p')
)
SELECT format('There is no role `%s`.', $1) AS fault
WHERE NOT EXISTS (SELECT FROM tenant_role)
UNION ALL
SELECT format('The role `%s` is a superuser, or has BYPASSRLS or CREATEROLE.', r.rolname)
FROM tenant_role AS r
WHERE r.rolsuper OR r.rolbypassrls OR r.rolcreaterole
UNION ALL
SELECT format('The role `%s` is a member of `%s`.', r.rolname, o.rolname)
FROM tenant_role AS r
JOIN pg_auth_members AS m ON m.member = r.oid
JOIN pg_roles AS o ON o.oid = m.roleid
UNION ALL
SELECT format('The role `%s` owns the table `%s`.', r.rolname, t.relname)
FROM tenant_role AS r
JOIN tables AS t ON t.relowner = r.oid
UNION ALL
SELECT format('The user `%s` may not act as `%s`.', session_user, r.rolname)
FROM tenant_role AS r
WHERE NOT pg_has_role(
    session_user, r.oid,
    CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END
)
UNION ALL
SELECT format('The role `%s` has no rights on the tables.', r.rolname)
FROM tenant_role AS r
WHERE NOT has_table_privilege(r.oid, 'jobs', 'SELECT') OR NOT has_table_privilege(r.oid, 'tallies', 'UPDATE')
UNION ALL
SELECT format('The table `%s` has no row-level security.', t.relname)
FROM tables AS t
WHERE NOT t.relrowsecurity
    AND EXISTS (
        SELECT
        FROM pg_attribute AS a
        WHERE a.attrelid = t.oid AND a.attname IN ('tenant_no', 'record_set_no', 'job_no', 'key_no')
    )
