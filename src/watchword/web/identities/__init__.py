"""The pages of machine identities: the list, a new one, and all that is known of one."""
