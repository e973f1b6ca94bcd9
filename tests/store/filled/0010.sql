-- A wrapped client secret that nobody has opened, and one that was opened.
INSERT INTO wraps (id, org_id, project_id, identity_id, kind, credential_id, sealed, verifier, created_by, creation_path, created_at, expires_at, opened_at, opened_address, is_revoked, refused) VALUES
  ('w1', 'o1', NULL, 'i1', 'client-secret', 'cs1', x'01', x'02', 'ana@example.com', '/api/v1/auth/universal-auth/identities/i1/client-secrets', 1, 9000000000000, NULL, NULL, 0, 0),
  ('w2', 'o1', 'p1', 'i2', 'access-token', 'at1', NULL, x'02', NULL, '/api/v1/auth/token-auth/identities/i2/tokens', 1, 9, 2, '192.0.2.1', 0, 1);
