"""Providers: services that answer questions in a region, one module per type, behind the protocol in `protocol.py`."""
