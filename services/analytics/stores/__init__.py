"""Adapters that keep the promises of Analytics' ports: PostgreSQL, and MongoDB in a folder of its own."""
