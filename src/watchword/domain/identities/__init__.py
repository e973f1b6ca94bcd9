"""Machine identities: the records. How they prove who they are is `domain.authentication`."""
