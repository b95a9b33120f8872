"""The suite with a record that is not kept: events are delivered without having been stored. `python -m bench.unrecorded serve …`.

What is stored before the first event and at the end stays, so that the difference to the suite is the price of an event's storing.
"""

from __future__ import annotations

from collections.abc import Sequence

from services.chat.model import Lease
from services.chat.ports import Flush
from services.chat.stores import opening
from services.chat.stores.records import SqlRecordStore
from services.cli import main


class Unrecorded(SqlRecordStore):
    """Accepts events and forgets them."""

    async def append(self, lease: Lease, flushes: Sequence[Flush]) -> set[str]:
        """All are accepted."""
        return {flush.generation_id for flush in flushes}


if __name__ == "__main__":
    opening.SqlRecordStore = Unrecorded  # type: ignore[attr-defined]
    main()
