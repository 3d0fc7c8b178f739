"""The tables as SQLModel classes, for reads, one module a noun; a test compares them with what the migrations made.

Nothing is created from here, and no relationship is declared: what a read touches stands in the read.
"""
