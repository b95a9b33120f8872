"""All that Speech keeps in PostgreSQL."""

from __future__ import annotations

from services.speech.stores.books import SqlBooks
from services.speech.stores.conversions import SqlConversions
from services.speech.stores.generations import SqlGenerations
from services.speech.stores.removals import SqlRemovals


class SqlConversionStore(SqlGenerations, SqlConversions, SqlRemovals, SqlBooks):
    """Keeps the promises of `ConversionStore`, for any number of processes at once."""
