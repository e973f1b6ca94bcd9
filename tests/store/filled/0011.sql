-- An import whose source was copied, with the folder of the copies.
INSERT INTO secret_imports (id, folder_id, project_id, source_environment_id, source_path, position, is_replication, version, created_at, updated_at) VALUES
  ('si10', 'f1', 'p1', 'e1', '/copied', 2, 1, 1, 1, 1);
INSERT INTO folders (id, project_id, environment_id, parent_id, name, path, description, version, last_secret_modified_at, created_at, updated_at) VALUES
  ('f10', 'p1', 'e1', 'f1', '__reserve_replication_si10', '/__reserve_replication_si10', NULL, 1, NULL, 1, 1);
INSERT INTO secret_replications (import_id, creator_kind, creator_id, watched, fingerprint, due_at, status, is_success, replicated_at, created_at, updated_at) VALUES
  ('si10', 'user', 'u1', '["tree/p1","folder/f1"]', 'abc', 9, 'Some secrets were not copied', 0, 5, 1, 5);
