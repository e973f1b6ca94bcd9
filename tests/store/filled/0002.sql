-- A refusal that stands for several.
INSERT INTO denials (request_id, at, org_id, identity_id, method, reason, message, facts, checks, address, user_agent, times, last_at) VALUES
  ('req-3', 6, 'o1', 'i1', 'universal-auth', 'client_secret', 'Invalid credentials', '{}', '[]', '10.0.0.3', NULL, 12, 9);
