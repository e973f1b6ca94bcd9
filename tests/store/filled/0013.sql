-- A webhook of a project with a message that waits, and one of an organization that is deleted.
INSERT INTO delivery_targets (id, org_id, project_id, purpose, kind, name, sealed, shown, is_signed, environment_id, secret_path, events, options, is_disabled, failures, due_at, lease, lease_ends_at, last_status, last_error, last_run_at, created_at, updated_at)
  SELECT 'dt1', org_id, id, 'project-webhook', 'general', '', x'00', 'https://hooks.example.com/a', 1, NULL, '/**', '[]', '{}', 0, 2, 5, 'l', 6, 'failed', 'the receiver answered 500', 4, 1, 1 FROM projects WHERE id = 'p1';
INSERT INTO deliveries (seq, id, target_id, org_id, event, body, state, attempts, status, error, waiting_since, attempted_at, created_at)
  VALUES (1, 'd1', 'dt1', 'o1', 'secrets.modified', '{}', 'waiting', 2, 500, 'the receiver answered 500', 3, 4, 1);
