"""Machine identities over HTTP: the identities, their life, and their memberships in organizations and projects."""
