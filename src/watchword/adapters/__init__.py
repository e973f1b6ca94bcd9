"""The adapters: clock, randomness, the network, files and logs as they really are.

Only `app.py` puts these into the server.
"""
