"""Sources: where the rows of an import come from. One module each, behind the protocol in `protocol.py`."""
