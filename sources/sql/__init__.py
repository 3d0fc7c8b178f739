"""PostgreSQL as a source: tables and views of a configured database."""
