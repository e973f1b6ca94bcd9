"""Secrets: read, write, move, import and reference them.

- `sealed`: sealing and opening, each text bound to its folder, secret, version and field
- `folder_cache`: the contents of folders, through the cache
- `rights`: what the caller may see and do, asked secret by secret
- `views`: a secret as the caller may see it
- `reading`: one secret, or all that a folder shows
- `import_resolution`: where imports lead; `expansion`: where references lead, and who may follow them
- `imports`: folders that show other folders' secrets, and their order
- `writing`: create, change, delete: one or many, all or nothing; `shared_writes`: small writes in one unit
- `renaming`: references follow a new name; `relocation`: the rights for all that a rename moves
- `moving`: from folder to folder
- `tagging`: tags on a secret
- `versions`: earlier versions of a secret, and back to one
- `relations`: the references of one secret, in both directions
- `search`: by name and tag across the folders of an environment
- `files`: export to a file and import from one
"""
