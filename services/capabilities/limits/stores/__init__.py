"""Where calls are counted: in this process, or in PostgreSQL for all replicas; needs a table of `ddl.py` there."""
