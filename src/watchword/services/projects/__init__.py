"""Projects, the use cases: projects with their environments, folders, tags, service tokens and members; moving in.

A project is *live* or *deleted*; a deleted environment may be restored for a while. The secrets in folders are
`services.secrets`.
"""
