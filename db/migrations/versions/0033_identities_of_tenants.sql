-- The name of the only tenant that an identity serves; NULL: it serves every tenant that has none of its own.
ALTER TABLE identities ADD COLUMN tenant text;

-- Say whether a tenant has this name. Requests of tenants can't read the table, so the function does with its owner's rights.
CREATE FUNCTION names_tenant(name text, tenant_no int) RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER
RETURN EXISTS (SELECT FROM tenants AS t WHERE t.tenant_no = names_tenant.tenant_no AND t.name = names_tenant.name);

-- A tenant's requests see its own identities and those of all. They write none.
ALTER TABLE identities ENABLE ROW LEVEL SECURITY;
CREATE POLICY identities_of_the_tenant ON identities FOR SELECT
USING (
    (SELECT sees_all_tenants()) OR identities.tenant IS NULL
    OR names_tenant(identities.tenant, (SELECT current_tenant_no()))
);
CREATE POLICY identities_are_entered ON identities FOR INSERT WITH CHECK ((SELECT sees_all_tenants()));
