-- A link that an administrator made.
INSERT INTO one_time_tokens (id, user_id, purpose, token_hash, expires_at, given_by) VALUES ('ot2', 'u2', 'reset', x'0a02', 9000000000000, 'u1');
