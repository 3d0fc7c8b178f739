"""PostgreSQL and nothing else: tables, migrations and statements."""
