-- Credentials that are hashed with the second key.
INSERT INTO client_secrets (id, identity_id, config_id, description, prefix, hash, hash_version, ttl, uses, uses_limit, is_revoked, created_at, updated_at) VALUES
  ('cs2', 'i1', 'c1', '', 'efgh', x'0d02', 2, 0, 0, 0, 0, 1, 1);
INSERT INTO service_tokens (id, project_id, name, scopes, permissions, hash, hash_version, created_by, created_at, updated_at) VALUES
  ('st2', 'p1', 'CD', '[]', '[]', x'0c02', 2, 'u1', 1, 1);
INSERT INTO invitations (id, org_id, email, role, token_hash, hash_version, invited_by, created_at, expires_at) VALUES
  ('in2', 'o1', 'max@example.com', 'member', x'0b02', 2, 'u1', 1, 9000000000000);
INSERT INTO one_time_tokens (id, user_id, purpose, token_hash, hash_version, expires_at) VALUES ('ot3', 'u1', 'reset', x'0a03', 2, 9000000000000);
