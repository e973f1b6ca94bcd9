"""Access over HTTP: custom roles, additional privileges, explanations and the access report."""
