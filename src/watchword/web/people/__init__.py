"""Pages of people: setting up an instance, signing in and out, and a person's own account."""
