"""What a server streams, and how far it was read. Decides; neither calls nor waits."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

from antiphon.analytics.v1 import analytics_pb2

from antiphon_client import _calls, _usage_calls
from antiphon_client.errors import AntiphonError, Unreachable

Item = TypeVar("Item")
Item_co = TypeVar("Item_co", covariant=True)


class Reader(Protocol[Item_co]):
    """Takes what calls bring, one call after the other."""

    @property
    def ended(self) -> bool:
        """Whether everything has come."""

    def next_call(self) -> _calls.Call[Any, Any]:
        """The call that brings what is still missing."""

    def take(self, response: Any) -> Item_co | None:
        """What is new in a response; None when nothing is. Raises AntiphonError when it can't follow what came before."""

    def cut_short(self) -> None:
        """Told that a call has ended well. Raises Unreachable when that was too early."""

    def give_up(self, failure: AntiphonError) -> bool:
        """Whether nothing that a further call brings can go on where this failure broke off."""


class UsageReader:
    """Where someone's figures stand. They are absolute, so another call goes on by itself, from the same moment on."""

    ended = False

    def __init__(
        self, first: _calls.Call[analytics_pb2.WatchUsageRequest, analytics_pb2.WatchUsageResponse]
    ) -> None:
        self._call = first

    def next_call(self) -> _calls.Call[analytics_pb2.WatchUsageRequest, analytics_pb2.WatchUsageResponse]:
        """The first call again; once it has been answered, from the moment that the answer named: today may have become yesterday."""
        return self._call

    def take(self, response: analytics_pb2.WatchUsageResponse) -> analytics_pb2.WatchUsageResponse:
        """All of it."""
        if not self._call.request.HasField("start_time"):
            request = analytics_pb2.WatchUsageRequest()
            request.CopyFrom(self._call.request)
            request.start_time.CopyFrom(response.start_time)
            self._call = _calls.call(_usage_calls.WATCH_USAGE, request, self._call.request_id)
        return response

    def cut_short(self) -> None:
        """Raises Unreachable: figures have no end."""
        raise Unreachable("the stream ended, and figures have no end")

    def give_up(self, failure: AntiphonError) -> bool:
        """False."""
        return False


class FileReader:
    """A file in chunks. Its first chunk may be asked for again, its middle can't."""

    def __init__(
        self, call: _calls.Call[analytics_pb2.ExportEventsRequest, analytics_pb2.ExportEventsResponse]
    ) -> None:
        self._call = call
        self._size = 0
        self.ended = False

    def next_call(self) -> _calls.Call[analytics_pb2.ExportEventsRequest, analytics_pb2.ExportEventsResponse]:
        """The call."""
        return self._call

    def take(self, response: analytics_pb2.ExportEventsResponse) -> bytes | None:
        """The chunk, unless it is empty."""
        self._size += len(response.chunk)
        return response.chunk or None

    def cut_short(self) -> None:
        """The file is whole."""
        self.ended = True

    def give_up(self, failure: AntiphonError) -> bool:
        """Whether something of the file has come; the failure notes how much of it."""
        if self._size:
            failure.add_note(
                f"The file broke off after {self._size} bytes, and can't be gone on with: export it again."
            )
        return self._size > 0
