"""SuiteQL as a source: named queries of a configured service."""
