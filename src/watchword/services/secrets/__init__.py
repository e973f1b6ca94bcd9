"""Secrets: read, write, move, import and reference them.

- `sealed`: opening and sealing, each text bound to its place
- `shelves`: what folders hold, through the cache
- `rights`: what the caller may see and do, asked secret by secret
- `views`: a secret as the caller may see it
- `reading`: one secret, or all that a folder shows
- `chains`: where imports lead; `expansion`: where references lead, and who may follow them
- `imports`: folders that show other folders' secrets, and their order
- `writing`: create, change, delete: one or many, all or nothing; `renaming`: references follow a new name
- `moving`: from folder to folder
- `versions`: what a secret was, and back to it
- `search`: by name and tag across the folders of an environment
"""
