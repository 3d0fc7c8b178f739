"""MySQL and MariaDB as sources: tables and views of a configured server."""
