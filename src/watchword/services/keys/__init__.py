"""Keys: the keyring (root key, organization keys, project keys, the instance's own) and its rotation while servers run.

A data key is *staged* (read by all servers), then *active* (it seals), and kept afterwards to open what it sealed until
rotation has sealed that again. Signing and hash keys are *retired* or *revoked* in the end, and then accept nothing.
"""
