-- An organization with its key, from a version that lets nothing outlive its owner.
INSERT INTO organizations (id, name, slug, default_role, privilege_mode, requires_mfa, created_at, updated_at) VALUES ('o3', 'Other', 'other', 'member', 'subset', 0, 3, 3);
INSERT INTO data_keys (scope, version, parent, parent_version, sealed, is_active, created_at) VALUES ('org/o3', 1, 'instance/hmac', 1, x'6b36', 1, 3);
