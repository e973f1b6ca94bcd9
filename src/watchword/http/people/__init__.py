"""People over HTTP: sign-in, the own account, the people of organizations and projects, groups."""
