"""People, the use cases: accounts, sessions, second factors, organizations, groups, administration of the instance.

A person is *invited*, *active* or *deactivated* in an organization, and may be deactivated in the whole instance. A
session is *signed in*, then *entered* (an organization was chosen), and ends by time, by signing out or by a changed
password.
"""
