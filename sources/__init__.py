"""Sources of imports: files, tables and queries. One module each, behind the protocol in `protocol.py`."""
