"""Claims make a retry safe: who called first with a `request_id`, and what it made; needs a PostgreSQL schema of the service that uses it."""
