"""Outboxes: where usage events wait for their delivery; each needs the tables of `outbox.py` in its service's schema."""
