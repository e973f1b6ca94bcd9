"""The benchmark: Watchword, OpenBao and a bare ASGI function, measured in turns on one machine."""
