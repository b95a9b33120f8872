"""Adapters that keep the promises of Chat's ports: PostgreSQL, and MongoDB in a folder of its own; `opening` opens the one that is set."""
