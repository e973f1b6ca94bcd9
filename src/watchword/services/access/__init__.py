"""Access, the use cases: what the caller may do in an organization or a project, roles, privileges, explanations,
reports.

A grant is *coming*, *active* or *over* (temporary roles and privileges); holdings are cached until the next such moment
or the next change. Nobody hands out more than their own (`boundaries`). Memberships are with what is joined:
`services.projects`, `services.identities`,
`services.people`.
"""
