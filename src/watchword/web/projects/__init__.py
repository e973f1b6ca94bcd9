"""The pages of projects: secrets, folders, environments, tags and settings."""
