"""PostgreSQL and nothing else: tables, migrations, and the statements that decide."""
