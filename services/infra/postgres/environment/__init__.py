"""What Alembic runs around each service's migrations; needs the connection that the runner hands over."""
