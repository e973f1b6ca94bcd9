-- A sub-organization with the slug of another organization.
INSERT INTO organizations (id, name, slug, root_org_id, parent_org_id, default_role, privilege_mode, requires_mfa, created_at, updated_at)
  SELECT 'o-sub', 'Part', slug, id, id, default_role, privilege_mode, requires_mfa, 1, 1 FROM organizations WHERE id = 'o1';
