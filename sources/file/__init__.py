"""Files as sources: CSV, JSON lines and Parquet below the import root."""
