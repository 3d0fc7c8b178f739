"""The common part of all sources that are tables of a database: cut along their key, and read by ranges of it."""
