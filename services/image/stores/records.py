"""The whole index in PostgreSQL."""

from __future__ import annotations

from services.image.stores.books import SqlBooks
from services.image.stores.filings import SqlFilings
from services.image.stores.generations import SqlGenerations
from services.image.stores.images import SqlImages


class SqlImageStore(SqlGenerations, SqlImages, SqlFilings, SqlBooks):
    """Keeps the promises of `ImageStore`, for any number of processes at once."""
