-- A channel of an organization, and what it was told.
INSERT INTO delivery_targets (id, org_id, project_id, purpose, kind, name, sealed, shown, is_signed, environment_id, secret_path, events, options, is_disabled, failures, due_at, lease, lease_ends_at, last_status, last_error, last_run_at, created_at, updated_at)
  VALUES ('ac1', 'o1', NULL, 'alert-channel', 'email', 'Operators', x'00', 'ops@example.com', 0, NULL, '/**', '["identity.unused"]', '{"unusedDays": 30}', 0, 0, NULL, NULL, NULL, 'success', NULL, 4, 1, 1);
INSERT INTO alert_marks (key, expires_at) VALUES ('ac1/unused/i1/0', 9);
