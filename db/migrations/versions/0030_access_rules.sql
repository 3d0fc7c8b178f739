-- What decides who sees and changes which rows, one rule a row: policies, the rights of the service's roles and of PUBLIC,
-- functions, triggers and views (docs/decisions/0048). `definition` is the SQL that makes the rule, `removal` what takes it away.
-- Nothing of extensions is a rule. PUBLIC's rights are those on what is in the schema of the tables. Of functions in other schemas
-- those are rules that run with their owner's rights. A trigger of a foreign key is one only while it is disabled.
CREATE VIEW access_rules AS
WITH home AS (
    SELECT n.oid, n.nspname AS name, j.relowner
    FROM pg_class AS j
    JOIN pg_namespace AS n ON n.oid = j.relnamespace
    WHERE j.oid = 'jobs'::regclass
), schemas AS (
    SELECT n.oid, n.nspname AS name, n.oid = h.oid AS is_home,
        n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\_%' AS is_users
    FROM pg_namespace AS n
    CROSS JOIN home AS h
), grantees AS (
    SELECT r.oid, r.rolname::text AS name
    FROM pg_roles AS r
    WHERE r.rolname IN ('breakwater_tenant', 'breakwater_service')
    UNION ALL
    SELECT 0, 'PUBLIC'
), of_extensions AS (
    SELECT d.classid, d.objid
    FROM pg_depend AS d
    WHERE d.deptype = 'e'
), functions AS (
    SELECT p.oid, p.prosecdef, p.proowner, p.proacl, s.is_home, s.is_users,
        format('%I.%I(%s)', s.name, p.proname, pg_get_function_identity_arguments(p.oid)) AS signature
    FROM pg_proc AS p
    JOIN schemas AS s ON s.oid = p.pronamespace
    WHERE p.prokind IN ('f', 'p') AND (s.is_users OR p.proacl IS NOT NULL)
        AND (p.oid, 'pg_proc'::regclass) NOT IN (SELECT x.objid, x.classid FROM of_extensions AS x)
), relations AS (
    SELECT c.oid, c.relacl, s.is_home,
        format('%s %I.%I', CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, s.name, c.relname) AS name
    FROM pg_class AS c
    JOIN schemas AS s ON s.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
        AND (c.oid, 'pg_class'::regclass) NOT IN (SELECT x.objid, x.classid FROM of_extensions AS x)
), access_lists AS (
    SELECT c.name, '' AS columns, c.relacl AS list, c.is_home, 'right of all' AS kind
    FROM relations AS c
    WHERE c.relacl IS NOT NULL
    UNION ALL
    SELECT c.name, format(' (%I)', t.attname), t.attacl, c.is_home, 'right of all'
    FROM relations AS c
    JOIN pg_attribute AS t ON t.attrelid = c.oid
    WHERE t.attacl IS NOT NULL
    UNION ALL
    SELECT 'FUNCTION ' || f.signature, '', f.proacl, f.is_home, 'default right' FROM functions AS f WHERE f.proacl IS NOT NULL
    UNION ALL
    SELECT format('SCHEMA %I', n.nspname), '', n.nspacl, s.is_home, 'default right'
    FROM pg_namespace AS n
    JOIN schemas AS s USING (oid)
    WHERE n.nspacl IS NOT NULL
    UNION ALL
    SELECT format('DATABASE %I', d.datname), '', d.datacl, false, ''
    FROM pg_database AS d
    WHERE d.datname = current_database() AND d.datacl IS NOT NULL
    UNION ALL
    SELECT format('PARAMETER %I', p.parname), '', p.paracl, true, 'right of all' FROM pg_parameter_acl AS p
), rights AS (
    SELECT format('%s%s ON %s', x.privilege_type, a.columns, a.name) AS privilege, g.name AS grantee,
        CASE g.oid WHEN 0 THEN a.kind ELSE 'right' END AS kind, bool_or(x.is_grantable) AS is_grantable
    FROM access_lists AS a
    CROSS JOIN LATERAL aclexplode(a.list) AS x
    JOIN grantees AS g ON g.oid = x.grantee
    WHERE (a.is_home OR g.oid <> 0) AND x.privilege_type NOT IN ('CONNECT', 'TEMPORARY')
    GROUP BY 1, 2, 3
)
SELECT
    r.kind,
    format('right `%s` of `%s`', r.privilege, r.grantee) AS object,
    format('GRANT %s TO %s%s', r.privilege, r.grantee, CASE WHEN r.is_grantable THEN ' WITH GRANT OPTION' END) AS definition,
    format('REVOKE %s FROM %s', r.privilege, r.grantee) AS removal
FROM rights AS r
UNION ALL
SELECT
    CASE WHEN p.polpermissive THEN 'policy' ELSE 'restrictive policy' END,
    format('policy `%s` on `%s`', p.polname, c.relname),
    concat(
        format('CREATE POLICY %I ON %I AS ', p.polname, c.relname),
        CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END, ' FOR ',
        CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
        ' TO ',
        (
            SELECT string_agg(coalesce(quote_ident(r.rolname), 'PUBLIC'), ', ' ORDER BY r.rolname)
            FROM unnest(p.polroles) AS u (oid)
            LEFT JOIN pg_roles AS r ON r.oid = u.oid
        ),
        ' USING (' || pg_get_expr(p.polqual, p.polrelid) || ')',
        ' WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')'
    ),
    format('DROP POLICY %I ON %I', p.polname, c.relname)
FROM pg_policy AS p
JOIN pg_class AS c ON c.oid = p.polrelid
JOIN home AS h ON h.oid = c.relnamespace
UNION ALL
SELECT
    CASE WHEN f.prosecdef THEN 'function with rights' ELSE 'function' END,
    format('function `%s`', f.signature), pg_get_functiondef(f.oid), 'DROP FUNCTION ' || f.signature
FROM functions AS f
WHERE f.is_home OR (f.is_users AND f.prosecdef)
UNION ALL
SELECT
    'trigger', format('trigger `%s` on `%s`', t.tgname, c.relname), pg_get_triggerdef(t.oid),
    format('DROP TRIGGER %I ON %I', t.tgname, c.relname)
FROM pg_trigger AS t
JOIN pg_class AS c ON c.oid = t.tgrelid
JOIN home AS h ON h.oid = c.relnamespace
WHERE NOT t.tgisinternal
UNION ALL
SELECT
    'trigger state', format('state of the trigger `%s` on `%s`', t.tgname, c.relname),
    format(
        'ALTER TABLE %I %s TRIGGER %I', c.relname,
        CASE t.tgenabled WHEN 'O' THEN 'ENABLE' WHEN 'A' THEN 'ENABLE ALWAYS' WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'DISABLE' END,
        t.tgname
    ),
    format('ALTER TABLE %I ENABLE TRIGGER %I', c.relname, t.tgname)
FROM pg_trigger AS t
JOIN pg_class AS c ON c.oid = t.tgrelid
JOIN home AS h ON h.oid = c.relnamespace
WHERE NOT t.tgisinternal
UNION ALL
SELECT
    'disabled trigger', format('disabled trigger `%s` on `%s`', t.tgname, c.relname),
    format('ALTER TABLE %I DISABLE TRIGGER %I', c.relname, t.tgname),
    format('ALTER TABLE %I ENABLE TRIGGER %I', c.relname, t.tgname)
FROM pg_trigger AS t
JOIN pg_class AS c ON c.oid = t.tgrelid
JOIN home AS h ON h.oid = c.relnamespace
WHERE t.tgisinternal AND t.tgenabled <> 'O'
UNION ALL
SELECT
    'view', format('view `%s`', c.relname),
    format(
        'CREATE OR REPLACE VIEW %I%s AS %s', c.relname, ' WITH (' || array_to_string(c.reloptions, ', ') || ')',
        pg_get_viewdef(c.oid)
    ),
    format('DROP VIEW %I', c.relname)
FROM pg_class AS c
JOIN home AS h ON h.oid = c.relnamespace
WHERE c.relkind = 'v'
    AND (c.oid, 'pg_class'::regclass) NOT IN (SELECT x.objid, x.classid FROM of_extensions AS x)
UNION ALL
SELECT
    'forced row security', format('forced row-level security of `%s`', c.relname),
    format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', c.relname),
    format('ALTER TABLE %I NO FORCE ROW LEVEL SECURITY', c.relname)
FROM pg_class AS c
JOIN home AS h ON h.oid = c.relnamespace
WHERE c.relforcerowsecurity
UNION ALL
SELECT
    'owner', format('owner `%s` of `%s`', pg_get_userbyid(c.relowner), c.relname),
    format('ALTER TABLE %I OWNER TO %I', c.relname, pg_get_userbyid(c.relowner)),
    format('ALTER TABLE %I OWNER TO %I', c.relname, pg_get_userbyid(h.relowner))
FROM pg_class AS c
JOIN home AS h ON h.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm') AND c.relowner <> h.relowner
    AND (c.oid, 'pg_class'::regclass) NOT IN (SELECT x.objid, x.classid FROM of_extensions AS x)
UNION ALL
SELECT
    'owner', format('owner `%s` of `%s`', pg_get_userbyid(f.proowner), f.signature),
    format('ALTER FUNCTION %s OWNER TO %I', f.signature, pg_get_userbyid(f.proowner)),
    format('ALTER FUNCTION %s OWNER TO %I', f.signature, pg_get_userbyid(h.relowner))
FROM functions AS f
CROSS JOIN home AS h
WHERE f.is_home AND f.prosecdef AND f.proowner <> h.relowner;

-- The rules as migrations made them, and the rights as `breakwater migrate` granted them.
CREATE TABLE expected_access_rules (
    object text CONSTRAINT expected_access_rules_key PRIMARY KEY,
    kind text NOT NULL,
    definition text NOT NULL
);

-- Later migrations record what they make by themselves (`db/access_rules.py`), and `breakwater migrate` what it grants.
INSERT INTO expected_access_rules (object, kind, definition)
SELECT a.object, a.kind, a.definition
FROM access_rules AS a
WHERE a.kind IN ('function', 'function with rights', 'trigger', 'trigger state', 'view', 'default right')
    OR a.object LIKE 'policy `rows\_of\_the\_tenant` on `%';
