-- An identity whose tokens were ended, and a method that was attached again.
INSERT INTO identities (id, org_id, name, has_delete_protection, is_disabled, is_instance_admin, token_generation, tokens_since, created_at, updated_at) VALUES
  ('i3', 'o1', 'builder', 0, 0, 0, 4, 4, 1, 1);
INSERT INTO method_configs (id, identity_id, method, config, ttl, max_ttl, period, uses_limit, trusted_ips, lockout_enabled, lockout_threshold, lockout_duration, lockout_reset, tokens_since, longest_life, created_at, updated_at) VALUES
  ('c3', 'i3', 'token-auth', '{}', 60, 600, 0, 0, '[]', 0, 3, 300, 30, 3, 86400, 1, 1);
INSERT INTO revocations (key, identity_id, before, expires_at) VALUES ('token/at9', 'i3', 0, 9000000000000), ('token/at8', 'gone', 0, 9000000000000);
