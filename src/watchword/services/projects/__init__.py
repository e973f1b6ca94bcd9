"""Projects, the use cases: projects, their environments, folders, tags and service tokens, who is a member, and moving
in.

A project is *there* or *deleted*; an environment may be brought back for a while after its deletion. What folders hold
is
`services.secrets`.
"""
