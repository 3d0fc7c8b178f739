"""The tables as SQLModel classes, for reads, one module per noun; a test compares them with the migrated schema.

No table is created from them, and no relationship is declared: each read names the tables that it uses.
"""
