"""Providers: services that answer a question in a region. One module each, behind the protocol in `protocol.py`."""
