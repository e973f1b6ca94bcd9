-- Rows as the first version wrote them, at least one in every table; what says 'gone' belongs to nobody any more.
INSERT INTO organizations (id, name, slug, root_org_id, parent_org_id, default_role, privilege_mode, requires_mfa, created_at, updated_at) VALUES
  ('o1', 'Acme', 'acme', NULL, NULL, 'member', 'subset', 0, 1, 1),
  ('o2', 'Acme Labs', 'acme-labs', 'o1', 'o1', 'no-access', 'action', 1, 2, 2);
INSERT INTO users (id, email, first_name, last_name, password_hash, is_instance_admin, is_active, mfa_method, mfa_secret, mfa_recovery, created_at, updated_at) VALUES
  ('u1', 'ada@example.com', 'Ada', 'Ünïcode', 'scrypt$1', 1, 1, 'totp', x'00ff10', '["a","b"]', 1, 1),
  ('u2', 'bob@example.com', 'Bob', '', 'scrypt$2', 0, 0, NULL, NULL, '[]', 1, 1);
INSERT INTO sessions (id, user_id, address, user_agent, org_id, is_mfa_verified, created_at, last_used_at, expires_at) VALUES
  ('se1', 'u1', '10.0.0.1', 'curl/8', 'o1', 1, 1, 2, 9000000000000);
INSERT INTO one_time_tokens (id, user_id, purpose, token_hash, expires_at) VALUES ('ot1', 'u2', 'reset', x'0a01', 9000000000000);
INSERT INTO person_failures (key, failures, window_ends_at, locked_until, expires_at) VALUES ('ada@example.com', 2, 5, 0, 9000000000000);
INSERT INTO groups (id, org_id, name, slug, created_at, updated_at) VALUES ('g1', 'o1', 'Operators', 'operators', 1, 1);
INSERT INTO invitations (id, org_id, email, role, token_hash, invited_by, created_at, expires_at) VALUES
  ('in1', 'o1', 'eve@example.com', 'member', x'0b01', 'u1', 1, 9000000000000);
INSERT INTO method_templates (id, org_id, name, method, fields, created_at, updated_at) VALUES
  ('mt1', 'o1', 'the directory', 'ldap-auth', '{"url":"ldaps://directory.example"}', 1, 1);
INSERT INTO projects (id, org_id, name, slug, description, kind, auto_capitalization, has_delete_protection, version_limit, audit_retention_days, created_at, updated_at) VALUES
  ('p1', 'o1', 'Shop', 'shop', 'What we sell', 'secret-manager', 1, 0, 10, 30, 1, 1);
INSERT INTO environments (id, project_id, name, slug, position, deleted_at, created_at, updated_at) VALUES
  ('e1', 'p1', 'Production', 'prod', 1, NULL, 1, 1),
  ('e2', 'p1', 'Staging', 'staging', 2, 7, 1, 7);
INSERT INTO identities (id, org_id, project_id, name, has_delete_protection, is_disabled, is_instance_admin, expires_at, owner, last_login_method, last_login_at, last_login_address, created_at, updated_at) VALUES
  ('i1', 'o1', NULL, 'deployer', 1, 0, 1, NULL, NULL, 'universal-auth', 5, '10.0.0.2', 1, 1),
  ('i2', 'o1', 'p1', 'reader', 0, 1, 0, 9000000000000, 'ada@example.com', NULL, NULL, NULL, 1, 1);
INSERT INTO group_members (group_id, actor_kind, actor_id, created_at) VALUES
  ('g1', 'identity', 'i1', 1), ('g1', 'user', 'u1', 1), ('g1', 'identity', 'gone', 1);
INSERT INTO actor_metadata (id, actor_kind, actor_id, key, value, position) VALUES
  ('am1', 'identity', 'i1', 'team', 'shop', 0), ('am2', 'user', 'u1', 'team', 'shop', 0), ('am3', 'identity', 'gone', 'team', 'shop', 0);
INSERT INTO roles (id, org_id, project_id, slug, name, description, permissions, created_at, updated_at) VALUES
  ('r1', 'o1', NULL, 'auditor', 'Auditor', NULL, '[]', 1, 1),
  ('r2', 'o1', 'p1', 'release', 'Release', 'Reads production', '[{"subject":"secrets","action":["readValue"],"conditions":{"environment":"prod"}}]', 1, 1);
INSERT INTO memberships (id, org_id, project_id, actor_kind, actor_id, is_active, last_login_method, last_login_at, created_at, updated_at) VALUES
  ('m1', 'o1', NULL, 'identity', 'i1', 1, 'universal-auth', 5, 1, 1),
  ('m2', 'o1', 'p1', 'identity', 'i1', 1, NULL, NULL, 1, 1),
  ('m3', 'o1', NULL, 'user', 'u1', 1, NULL, NULL, 1, 1),
  ('m4', 'o1', 'p1', 'group', 'g1', 1, NULL, NULL, 1, 1),
  ('m5', 'o1', NULL, 'identity', 'gone', 1, NULL, NULL, 1, 1);
INSERT INTO membership_roles (id, membership_id, role, custom_role_id, is_temporary, temporary_mode, temporary_range, starts_at, ends_at, position, created_at, updated_at) VALUES
  ('mr1', 'm1', 'admin', NULL, 0, NULL, NULL, NULL, NULL, 0, 1, 1),
  ('mr2', 'm2', 'custom', 'r2', 1, 'relative', '1h', 1, 3600001, 0, 1, 1),
  ('mr3-gone', 'm5', 'member', NULL, 0, NULL, NULL, NULL, NULL, 0, 1, 1);
INSERT INTO privileges (id, project_id, actor_kind, actor_id, slug, permissions, folder_id, folder_tier, is_temporary, temporary_mode, temporary_range, starts_at, ends_at, created_at, updated_at) VALUES
  ('pr1', 'p1', 'identity', 'i1', 'hotfix', '[]', NULL, NULL, 0, NULL, NULL, NULL, NULL, 1, 1),
  ('pr2', 'p1', 'identity', 'gone', 'hotfix', '[]', NULL, NULL, 0, NULL, NULL, NULL, NULL, 1, 1);
INSERT INTO service_tokens (id, project_id, name, scopes, permissions, hash, encrypted_key, iv, tag, created_by, last_used_at, expires_at, created_at, updated_at) VALUES
  ('st1', 'p1', 'CI', '[{"environment":"prod","secretPath":"/"}]', '["read"]', x'0c01', NULL, NULL, NULL, 'u1', NULL, NULL, 1, 1);
INSERT INTO tags (id, project_id, slug, name, color, created_by, created_by_kind, created_at, updated_at) VALUES
  ('t1', 'p1', 'database', 'database', '#ff0000', 'u1', 'user', 1, 1);
INSERT INTO folders (id, project_id, environment_id, parent_id, name, path, description, version, last_secret_modified_at, created_at, updated_at) VALUES
  ('f1', 'p1', 'e1', NULL, 'root', '/', NULL, 1, 3, 1, 1),
  ('f2', 'p1', 'e1', 'f1', 'db', '/db', 'databases', 1, NULL, 1, 1);
INSERT INTO secrets (id, project_id, folder_id, key, kind, user_id, version, value, comment, skip_multiline_encoding, reminder_note, reminder_repeat_days, metadata, tag_ids, "references", actor_kind, actor_id, created_at, updated_at) VALUES
  ('s1', 'p1', 'f1', 'URL', 'shared', NULL, 2, x'7631', x'7632', NULL, NULL, NULL, '[{"key":"a","value":"b"}]', '["t1"]', '[]', 'identity', 'i1', 1, 3),
  ('s2', 'p1', 'f1', 'URL', 'personal', 'u1', 1, x'7633', NULL, 1, 'rotate', 30, '[]', '[]', '[["prod","/db","PASSWORD"]]', 'user', 'u1', 1, 1);
INSERT INTO secret_versions (id, secret_id, project_id, folder_id, version, key, kind, user_id, value, comment, skip_multiline_encoding, metadata, tag_ids, actor_kind, actor_id, created_at) VALUES
  ('sv1', 's1', 'p1', 'f1', 1, 'URL', 'shared', NULL, x'7630', NULL, NULL, '[]', '[]', NULL, NULL, 1),
  ('sv2', 's1', 'p1', 'f1', 2, 'URL', 'shared', NULL, x'7631', x'7632', NULL, '[{"key":"a","value":"b"}]', '["t1"]', 'identity', 'i1', 3);
INSERT INTO secret_imports (id, folder_id, project_id, source_environment_id, source_path, position, is_replication, version, created_at, updated_at) VALUES
  ('si1', 'f1', 'p1', 'e1', '/db', 1, 0, 1, 1, 1);
INSERT INTO method_configs (id, identity_id, method, locator, config, ttl, max_ttl, period, uses_limit, trusted_ips, lockout_enabled, lockout_threshold, lockout_duration, lockout_reset, template_id, created_at, updated_at) VALUES
  ('c1', 'i1', 'universal-auth', 'client-1', '{}', 60, 600, 0, 0, '[]', 1, 3, 300, 30, NULL, 1, 1),
  ('c2', 'i2', 'ldap-auth', NULL, '{"searchBase":"dc=example"}', 60, 600, 0, 5, '[]', 0, 3, 300, 30, 'mt1', 1, 1);
INSERT INTO client_secrets (id, identity_id, config_id, description, prefix, hash, ttl, uses, uses_limit, is_revoked, last_used_at, created_at, updated_at) VALUES
  ('cs1', 'i1', 'c1', 'CI', 'abcd', x'0d01', 0, 7, 0, 0, 5, 1, 5);
INSERT INTO access_tokens (id, identity_id, org_id, method, name, client_secret_id, ttl, max_ttl, period, uses, uses_limit, is_revoked, last_used_at, last_renewed_at, expires_at, created_at, updated_at) VALUES
  ('at1', 'i2', 'o1', 'token-auth', 'laptop', NULL, 60, 600, 0, 1, 5, 0, 4, NULL, 9000000000000, 1, 1);
INSERT INTO lockouts (key, identity_id, failures, window_ends_at, locked_until) VALUES ('i1/universal-auth/client-1', 'i1', 1, 5, 0);
INSERT INTO revocations (key, identity_id, before, expires_at) VALUES
  ('method/i1/universal-auth', 'i1', 7, 9000000000000), ('identity/gone', 'gone', 7, 9000000000000);
INSERT INTO spent_proofs (key, expires_at) VALUES ('proof', 9000000000000);
INSERT INTO audit_events (id, at, org_id, project_id, actor_kind, actor_id, actor_name, event, metadata, address, user_agent, request_id, expires_at) VALUES
  ('ae1', 5, 'o1', NULL, 'identity', 'i1', 'deployer', 'login-identity', '{"identityId":"i1"}', '10.0.0.2', 'curl/8', 'req-1', NULL);
INSERT INTO denials (request_id, at, org_id, identity_id, method, reason, message, facts, checks, address, user_agent) VALUES
  ('req-2', 6, 'o1', 'i1', 'universal-auth', 'client_secret', 'Invalid credentials', '{}', '[]', '10.0.0.3', NULL);
INSERT INTO data_keys (scope, version, parent, parent_version, sealed, is_active, created_at) VALUES
  ('instance/hmac', 1, 'root', 0, x'6b31', 1, 1), ('org/o1', 1, 'instance/hmac', 1, x'6b32', 1, 1), ('project/p1', 1, 'org/o1', 1, x'6b33', 1, 1),
  ('org/gone', 1, 'instance/hmac', 1, x'6b34', 1, 1), ('project/gone', 1, 'org/gone', 1, x'6b35', 1, 1);
INSERT INTO settings (key, value) VALUES ('root_key_check', 'x');
INSERT INTO versions (key, n) VALUES ('identity/i1', 3);
