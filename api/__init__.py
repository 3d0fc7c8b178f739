"""HTTP in, HTTP out: routes, schemas and the answers to errors. No SQL, no Redis commands."""
