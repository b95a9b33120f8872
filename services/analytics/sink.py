"""Where services of the same process deliver their usage events: what RecordEvents does, without the RPC."""

from __future__ import annotations

from collections.abc import Sequence

from antiphon.usage.v1 import usage_pb2
from google.protobuf.message import DecodeError

from services.analytics.mapping.events import submitted
from services.analytics.usecases.record_events import RecordEvents
from services.capabilities.metering.ports import Delivered
from services.kernel.errors import InvalidArgument


class LocalSink:
    """Keeps the promises of `services.capabilities.metering.ports.Sink` for one service."""

    def __init__(self, record: RecordEvents, source: str) -> None:
        self._record = record
        self._source = source

    async def record(self, payloads: Sequence[bytes]) -> Delivered:
        """As the port says."""
        try:
            events = [usage_pb2.UsageEvent.FromString(payload) for payload in payloads]
        except DecodeError:
            raise InvalidArgument("an event of this batch can't be read") from None
        recorded = await self._record(self._source, submitted(events), payloads.__getitem__)
        return Delivered(recorded.accepted, recorded.known, len(recorded.rejected))
