"""HTTP in, HTTP out: routes, their schemas, and how errors are answered. No SQL, no Redis commands."""
