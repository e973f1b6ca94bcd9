"""Projects over HTTP: projects, environments, folders, tags and service tokens, in both generations of paths."""
