"""Projects in the database: projects, environments and folders, tags, service tokens, and who is a member of what."""
