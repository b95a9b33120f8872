"""Auth's stores; they need PostgreSQL with the schema `auth`."""
