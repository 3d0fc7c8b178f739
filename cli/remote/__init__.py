"""The commands that ask a running service over HTTP. Nothing here knows the stores, the API's code or the worker's."""
