"""Machine identities, the use cases: made, changed, found, disabled, deleted; in organizations and in projects.

An identity is *enabled* or *disabled*; it may *expire*, be *unused* or be *protected* from deletion; deleted is for
good. Its auth methods and tokens are `services.authentication`, its roles `services.access`.
"""
