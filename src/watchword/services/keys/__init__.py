"""Keys: the keyring (root key, organization keys, project keys, the instance's own) and its rotation while servers run.

A data key is *current* or *retired*; a retired one opens what was sealed with it until rotation has sealed all of it
anew, and is removed then.
"""
