"""Projects: the records of projects, environments, folders, tags and service tokens."""
