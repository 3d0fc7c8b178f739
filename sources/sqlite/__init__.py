"""SQLite files as sources: a table or view of a file below the import root."""
