-- A passkey of a person.
INSERT INTO passkeys (id, user_id, name, credential_id, public_key, sign_count, transports, is_synced, created_at, last_used_at)
  VALUES ('pk1', 'u1', 'Stick', 'AQID', 'pQECAyYg', 4, '["usb"]', 0, 1, NULL);
