-- Find what is amiss with the roles of tenants' requests ($1) and of services ($2): a sentence each, the SQL that mends
-- it, and whether somebody may see or change more because of it. This session's user is either an owner of the tables,
-- or a member of the role of services, who may not change what is only added to.
WITH tenant_role AS (
    SELECT r.*
    FROM pg_roles AS r
    WHERE r.rolname = $1::text
), service_role AS (
    SELECT r.*
    FROM pg_roles AS r
    WHERE r.rolname = $2::text
), user_of_session AS (
    SELECT u.oid, u.rolname, u.rolsuper OR pg_has_role(u.oid, j.relowner, 'USAGE') AS is_owner
    FROM pg_roles AS u
    JOIN pg_class AS j ON j.oid = 'jobs'::regclass
    WHERE u.rolname = session_user
), tables AS (
    SELECT c.oid, c.relname, c.relrowsecurity
    FROM pg_class AS c
    WHERE c.relnamespace = (SELECT j.relnamespace FROM pg_class AS j WHERE j.oid = 'jobs'::regclass)
        AND c.relkind IN ('r', 'p')
), to_act AS (
    SELECT CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END AS option
)
SELECT
    format('There is no role `%s`.', $1) AS sentence,
    format('CREATE ROLE %1$I NOLOGIN; GRANT %1$I TO %2$I', $1, session_user) AS remedy,
    false AS leaks
WHERE NOT EXISTS (SELECT FROM tenant_role)
UNION ALL
SELECT
    format('The role `%s` is a superuser, or has BYPASSRLS or CREATEROLE.', r.rolname),
    format('ALTER ROLE %I NOSUPERUSER NOBYPASSRLS NOCREATEROLE', r.rolname), true
FROM tenant_role AS r
WHERE r.rolsuper OR r.rolbypassrls OR r.rolcreaterole
UNION ALL
SELECT
    format('The role `%s` is a superuser, or has CREATEROLE.', r.rolname),
    format('ALTER ROLE %I NOSUPERUSER NOCREATEROLE', r.rolname), true
FROM service_role AS r
WHERE r.rolsuper OR r.rolcreaterole
UNION ALL
SELECT
    format('The role `%s` has LOGIN, CREATEDB or REPLICATION.', r.rolname),
    format('ALTER ROLE %I NOLOGIN NOCREATEDB NOREPLICATION', r.rolname), true
FROM tenant_role AS r
WHERE r.rolcanlogin OR r.rolcreatedb OR r.rolreplication
UNION ALL
SELECT
    format('The role `%s` is a member of `%s`.', r.rolname, o.rolname),
    format('REVOKE %I FROM %I', o.rolname, r.rolname), true
FROM (SELECT * FROM tenant_role UNION ALL SELECT * FROM service_role) AS r
JOIN pg_auth_members AS m ON m.member = r.oid
JOIN pg_roles AS o ON o.oid = m.roleid
WHERE r.rolname = $1 OR o.rolname <> $1
UNION ALL
SELECT
    format('The role `%s` may act as `%s`.', m.rolname, r.rolname),
    format('REVOKE %I FROM %I', r.rolname, m.rolname), true
FROM tenant_role AS r
JOIN pg_auth_members AS a ON a.roleid = r.oid
JOIN pg_roles AS m ON m.oid = a.member
JOIN pg_class AS j ON j.oid = 'jobs'::regclass
WHERE m.rolname NOT IN ($2, session_user) AND NOT m.rolsuper AND NOT pg_has_role(m.oid, j.relowner, 'MEMBER')
    AND NOT EXISTS (SELECT FROM service_role AS s WHERE pg_has_role(m.oid, s.oid, 'MEMBER'))
    AND has_database_privilege(m.oid, current_database(), 'CONNECT')
UNION ALL
SELECT
    format('The role `%s` owns the %s.', r.rolname, regexp_replace(o.name, '^(\S+) (.*)$', '\1 `\2`')),
    format('REASSIGN OWNED BY %I TO %I', r.rolname, pg_get_userbyid(j.relowner)), true
FROM (SELECT * FROM tenant_role UNION ALL SELECT * FROM service_role) AS r
JOIN pg_shdepend AS d ON d.refobjid = r.oid AND d.refclassid = 'pg_authid'::regclass AND d.deptype = 'o'
JOIN pg_database AS b ON b.oid = d.dbid AND b.datname = current_database()
JOIN pg_class AS j ON j.oid = 'jobs'::regclass
CROSS JOIN LATERAL pg_describe_object(d.classid, d.objid, d.objsubid) AS o (name)
UNION ALL
SELECT
    format('The user `%s` may not act as `%s`.', session_user, r.rolname),
    format('GRANT %I TO %I', r.rolname, CASE WHEN u.is_owner THEN session_user ELSE $2 END), false
FROM tenant_role AS r
CROSS JOIN user_of_session AS u
CROSS JOIN to_act AS t
WHERE NOT pg_has_role(session_user, r.oid, t.option)
UNION ALL
SELECT
    format('The user `%s` neither owns the tables nor is a member of `%s`.', u.rolname, $2),
    format('GRANT %I TO %I', $2, u.rolname), false
FROM user_of_session AS u
WHERE NOT u.is_owner AND NOT EXISTS (SELECT FROM service_role AS s WHERE pg_has_role(u.oid, s.oid, 'USAGE'))
UNION ALL
SELECT
    format('The user `%s` may change or empty `%s`, which is only added to.', u.rolname, l.name),
    format('REVOKE UPDATE, DELETE, TRUNCATE, TRIGGER ON %s FROM %I', l.name, u.rolname), true
FROM user_of_session AS u
CROSS JOIN (VALUES ('audit_entries'), ('submissions')) AS l (name)
WHERE NOT u.is_owner AND has_table_privilege(u.oid, l.name, 'UPDATE, DELETE, TRUNCATE, TRIGGER')
UNION ALL
SELECT format('The role `%s` has no rights on the tables.', r.rolname), NULL, false
FROM tenant_role AS r
WHERE NOT has_table_privilege(r.oid, 'jobs', 'SELECT') OR NOT has_table_privilege(r.oid, 'tallies', 'UPDATE')
UNION ALL
SELECT
    format('The table `%s` has no row-level security.', t.relname),
    format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t.relname), true
FROM tables AS t
WHERE NOT t.relrowsecurity
    AND EXISTS (
        SELECT
        FROM pg_attribute AS a
        WHERE a.attrelid = t.oid AND a.attname IN ('tenant_no', 'record_set_no', 'job_no', 'key_no')
    )
