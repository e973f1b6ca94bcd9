"""The real outside: clock, randomness, the network, files, logs. Only `app.py` puts these into the server."""
