"""Adapters that keep the promises of Chat's ports: PostgreSQL."""
