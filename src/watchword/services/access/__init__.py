"""Access, the use cases: what a caller may do in an organization or project, roles, privileges, explanations, reports.

A grant is *pending*, *active* or *over* (temporary roles and privileges); holdings are cached until a grant begins or
ends, or until the next change. No caller gives more rights than its own (`boundaries`). Memberships are managed where
they are: `services.projects`, `services.identities`, `services.people`.
"""
