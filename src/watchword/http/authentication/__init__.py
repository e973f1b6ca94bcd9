"""Authentication over HTTP: logins of every method, their configurations and templates, tokens, OAuth 2."""
