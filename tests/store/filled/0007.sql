-- A second identity that administers the instance.
INSERT INTO identities (id, org_id, name, has_delete_protection, is_disabled, is_instance_admin, created_at, updated_at) VALUES ('i4', 'o1', 'operator', 0, 0, 1, 1, 1);
