"""The HTTP API: thin typed handlers over the services, one module for each area."""
