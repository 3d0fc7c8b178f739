"""Sources as specs and configurations name them: a module per source, listed in `registry.py`."""
