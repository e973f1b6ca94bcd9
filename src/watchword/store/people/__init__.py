"""People in the database: organizations, accounts, sessions, invitations, groups, and who administers the instance."""
