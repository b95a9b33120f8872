"""What the synchronous client does with usage, its figures and its prices. `_async_usage.py` mirrors it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Unpack

from antiphon.analytics.v1 import analytics_pb2
from antiphon.usage.v1 import usage_pb2

from antiphon_client import _calls, _usage_calls
from antiphon_client._calling import Calling
from antiphon_client._reading import FileReader, UsageReader
from antiphon_client._record import OnReconnect
from antiphon_client._server_stream import ServerStream
from antiphon_client._times import timestamp
from antiphon_client._usage_calls import SpanOptions


class UsageVerbs(Calling):
    """The part of a client that is about what was used. A person's own figures are theirs to see; everything else is for
    administrators."""

    def get_user_analytics(
        self, *, user_id: str = "", timeout: float | None = None, **span: Unpack[SpanOptions]
    ) -> analytics_pb2.GetUserAnalyticsResponse:
        """What the caller used, by service, by model and over time; what `user_id` used for administrators."""
        request = analytics_pb2.GetUserAnalyticsRequest(user_id=user_id, span=_usage_calls.span_of(span))
        return self._unary(_calls.call(_usage_calls.GET_USER_ANALYTICS, request), timeout)

    def watch_usage(
        self,
        *,
        user_id: str = "",
        start: datetime | None = None,
        time_zone: str = "",
        on_reconnect: OnReconnect | None = None,
        timeout: float | None = None,
    ) -> ServerStream[analytics_pb2.WatchUsageResponse]:
        """The caller's figures since `start`, by default the beginning of today, and again whenever they change; those of `user_id` for
        administrators.

        The same figures come every 15 seconds in any case. When the connection breaks, it is sought again, and the figures go on from the
        same moment; `on_reconnect` is told before.
        """
        reader = UsageReader(_usage_calls.watch_usage(user_id, start, time_zone))
        limit = self._timeouts.stream if timeout is None else timeout
        return ServerStream(self._transport, reader, limit, on_reconnect)

    def export_events(
        self,
        *,
        file_format: analytics_pb2.ExportFormat = analytics_pb2.EXPORT_FORMAT_CSV,
        user_id: str = "",
        all_users: bool = False,
        start: datetime | None = None,
        end: datetime | None = None,
        usage_filter: analytics_pb2.UsageFilter | None = None,
        timeout: float | None = None,
    ) -> ServerStream[bytes]:
        """The caller's events, oldest first, as a file in chunks; those of `user_id` or of `all_users` for administrators.

        The file is whole when the iteration ends. One whose connection breaks after its first chunk can't be gone on with: the iteration
        raises then.
        """
        call = _usage_calls.export_events(file_format, user_id, all_users, start, end, usage_filter)
        limit = self._timeouts.stream if timeout is None else timeout
        return ServerStream(self._transport, FileReader(call), limit)

    # Figures for administrators

    def get_service_analytics(
        self,
        service_type: usage_pb2.ServiceType,
        *,
        top: int = 0,
        timeout: float | None = None,
        **span: Unpack[SpanOptions],
    ) -> analytics_pb2.GetServiceAnalyticsResponse:
        """What one service did, with the `top` users and models, 10 by default."""
        request = analytics_pb2.GetServiceAnalyticsRequest(
            service_type=service_type, span=_usage_calls.span_of(span), top=top
        )
        return self._unary(_calls.call(_usage_calls.GET_SERVICE_ANALYTICS, request), timeout)

    def get_system_analytics(
        self, *, top: int = 0, timeout: float | None = None, **span: Unpack[SpanOptions]
    ) -> analytics_pb2.GetSystemAnalyticsResponse:
        """What all services did, with the `top` users and models, 10 by default."""
        request = analytics_pb2.GetSystemAnalyticsRequest(span=_usage_calls.span_of(span), top=top)
        return self._unary(_calls.call(_usage_calls.GET_SYSTEM_ANALYTICS, request), timeout)

    def get_usage(
        self,
        *,
        usage_filter: analytics_pb2.UsageFilter | None = None,
        timeout: float | None = None,
        **span: Unpack[SpanOptions],
    ) -> analytics_pb2.GetUsageResponse:
        """What was used altogether."""
        request = analytics_pb2.GetUsageRequest(span=_usage_calls.span_of(span), filter=usage_filter)
        return self._unary(_calls.call(_usage_calls.GET_USAGE, request), timeout)

    def query_usage(
        self,
        group_by: Sequence[analytics_pb2.Dimension] = (),
        *,
        usage_filter: analytics_pb2.UsageFilter | None = None,
        order: analytics_pb2.UsageOrder = analytics_pb2.USAGE_ORDER_EVENTS,
        limit: int = 0,
        timeout: float | None = None,
        **span: Unpack[SpanOptions],
    ) -> analytics_pb2.QueryUsageResponse:
        """Figures by up to three dimensions; the first `limit` groups, 100 by default."""
        request = analytics_pb2.QueryUsageRequest(
            span=_usage_calls.span_of(span),
            group_by=group_by,
            filter=usage_filter,
            order=order,
            limit=limit,
        )
        return self._unary(_calls.call(_usage_calls.QUERY_USAGE, request), timeout)

    # The books

    def reconcile(
        self,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        service_types: Sequence[usage_pb2.ServiceType] = (),
        repair: bool = False,
        timeout: float | None = None,
    ) -> analytics_pb2.ReconcileResponse:
        """Compares what the services say they did with events and figures, by default of the last day, and mends what differs when
        `repair` is set. It may take as long as an answer (`Timeouts.answer`)."""
        call = _usage_calls.reconcile(start, end, service_types, repair)
        return self._transport.unary(call, self._timeouts.answer if timeout is None else timeout)

    def list_rejected_events(
        self, *, page_size: int = 0, skip: int = 0, timeout: float | None = None
    ) -> Iterator[analytics_pb2.RejectedEvent]:
        """Events that could not be stored, newest first; pages are fetched as they are needed. `timeout` is for each page."""
        request = analytics_pb2.ListRejectedEventsRequest(page_size=page_size, skip=skip)
        for page in self._pages(_usage_calls.LIST_REJECTED_EVENTS, request, timeout):
            yield from page.rejected_events

    # Prices

    def list_prices(
        self,
        *,
        model: str = "",
        at: datetime | None = None,
        page_size: int = 0,
        skip: int = 0,
        timeout: float | None = None,
    ) -> Iterator[analytics_pb2.Price]:
        """Prices, those that were set last first; with `at` only those that are in force at that moment.

        Pages are fetched as they are needed. `timeout` is for each page.
        """
        request = analytics_pb2.ListPricesRequest(
            page_size=page_size, skip=skip, model=model, at_time=timestamp(at)
        )
        for page in self._pages(_usage_calls.LIST_PRICES, request, timeout):
            yield from page.prices

    def set_price(
        self,
        model: str,
        unit: usage_pb2.Unit,
        nano_usd: int | None,
        *,
        variant: str = "",
        effective: datetime | None = None,
        timeout: float | None = None,
    ) -> analytics_pb2.Price:
        """Sets what something costs from `effective` on, for administrators: nano-USD for a million tokens or characters, an image, or an
        hour of audio, as the unit is; None: it has no price from then on.

        Without `effective` the first price of something is in force from the beginning, every other one from now on.
        """
        return self._unary(_usage_calls.set_price(model, unit, nano_usd, variant, effective), timeout).price
