-- A token of a login that was renewed, and the event of its login.
INSERT INTO access_tokens (id, identity_id, org_id, method, name, client_secret_id, ttl, max_ttl, period, uses, uses_limit, is_revoked, last_used_at, last_renewed_at, expires_at, generation, address, user_agent, created_at, updated_at) VALUES
  ('t9', 'i1', 'o1', 'universal-auth', NULL, NULL, 600, 1200, 0, 0, 0, 0, NULL, 2, 9, 1, '192.0.2.1', 'agent', 1, 2);
INSERT INTO audit_events (id, at, org_id, project_id, actor_kind, actor_id, actor_name, event, metadata, address, user_agent, request_id, expires_at) VALUES
  ('e9', 1, 'o1', NULL, 'identity', 'i1', 'bot', 'login-identity-universal-auth', '{"identityAccessTokenId":"t9","tokenExpiresAt":9,"tokenGeneration":1,"signingKeyId":"k"}', '192.0.2.1', 'agent', 'r9', NULL);
