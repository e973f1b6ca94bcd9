"""Machine identities, the use cases: create, change, find, disable and delete, in organizations and in projects.

An identity is *enabled* or *disabled*; it may *expire*, be *unused* or be *protected* from deletion; deletion is final.
Its auth methods and tokens are `services.authentication`, its roles `services.access`.
"""
