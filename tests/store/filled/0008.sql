-- A privilege in a folder.
INSERT INTO privileges (id, project_id, actor_kind, actor_id, slug, permissions, folder_id, is_temporary, created_at, updated_at) VALUES
  ('pr3', 'p1', 'identity', 'i1', 'folder', '[]', 'f2', 0, 1, 1);
